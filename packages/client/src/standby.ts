import type { AutoStandbyStatus, Instance } from '@vivarium/api';
import { policyToWire, standbyFromWire } from '@vivarium/api/wire';
import type { AutoStandbyPolicy, StandbyStatus, VmStandby, WakePolicy } from '@vivarium/model';
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

  status(): Promise<StandbyStatus> {
    return this.#ask('autoStandbyStatus');
  }

  hold(): Promise<StandbyStatus> {
    return this.#ask('autoStandbyHold');
  }

  async set({
    policy,
    wake,
  }: {
    policy?: AutoStandbyPolicy | null;
    wake?: WakePolicy;
  }): Promise<StandbyStatus> {
    const json = { auto_standby: policy && policyToWire(policy), wake };
    const send = { params: { id: this.#id }, json };
    this.#keep((await this.#transport.json<Instance>('updateInstance', send)).value);
    return this.status();
  }

  async #ask(route: 'autoStandbyStatus' | 'autoStandbyHold'): Promise<StandbyStatus> {
    const send = { params: { id: this.#id } };
    return standbyFromWire((await this.#transport.json<AutoStandbyStatus>(route, send)).value);
  }
}
