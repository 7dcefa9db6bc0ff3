import type { AutoStandbyStatus, Instance } from '@vivarium/api';
import { standbyFromWire, updateToWire } from '@vivarium/api/wire';
import type { AskOptions, AutoStandbyPolicy, StandbyStatus, VmStandby, WakePolicy } from '@vivarium/model';
import type { Transport } from './transport.ts';

/** Standby of an instance behind the daemon. */
export class RemoteVmStandby implements VmStandby {
  readonly #transport: Transport;
  readonly #id: string;
  readonly #keep: (wire: Instance) => void;

  constructor(transport: Transport, id: string, keep: (wire: Instance) => void) {
    this.#transport = transport;
    this.#id = id;
    this.#keep = keep;
  }

  status(options: AskOptions = {}): Promise<StandbyStatus> {
    return this.#ask('autoStandbyStatus', options);
  }

  hold(options: AskOptions = {}): Promise<StandbyStatus> {
    return this.#ask('autoStandbyHold', options);
  }

  async set(
    { policy, wake }: { policy?: AutoStandbyPolicy | null; wake?: WakePolicy },
    options: AskOptions = {},
  ): Promise<StandbyStatus> {
    const json = updateToWire({ autoStandby: policy, wake });
    const send = { params: { id: this.#id }, json, signal: options.signal };
    this.#keep((await this.#transport.json<Instance>('updateInstance', send)).value);
    return this.status(options);
  }

  async #ask(route: 'autoStandbyStatus' | 'autoStandbyHold', { signal }: AskOptions): Promise<StandbyStatus> {
    const send = { params: { id: this.#id }, signal };
    return standbyFromWire((await this.#transport.json<AutoStandbyStatus>(route, send)).value);
  }
}
