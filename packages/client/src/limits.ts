import type { Instance, LimitsStatus as WireStatus } from '@vivarium/api';
import { limitsStatusFromWire, updateToWire } from '@vivarium/api/wire';
import type { AskOptions, InstanceLimits, LimitsStatus, VmLimits } from '@vivarium/model';
import type { Transport } from './transport.ts';

/** Limits of an instance behind the daemon. */
export class RemoteVmLimits implements VmLimits {
  readonly #transport: Transport;
  readonly #id: string;
  readonly #keep: (wire: Instance) => void;

  constructor(transport: Transport, id: string, keep: (wire: Instance) => void) {
    this.#transport = transport;
    this.#id = id;
    this.#keep = keep;
  }

  async get({ signal }: AskOptions = {}): Promise<LimitsStatus> {
    const send = { params: { id: this.#id }, signal };
    return limitsStatusFromWire((await this.#transport.json<WireStatus>('instanceLimits', send)).value);
  }

  async set(limits: InstanceLimits, options: AskOptions = {}): Promise<LimitsStatus> {
    const send = { params: { id: this.#id }, json: updateToWire({ limits }), signal: options.signal };
    this.#keep((await this.#transport.json<Instance>('updateInstance', send)).value);
    return this.get(options);
  }
}
