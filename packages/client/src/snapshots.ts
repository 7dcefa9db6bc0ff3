import type { Instance, Snapshot } from '@vivarium/api';
import { actionFromWire, forkToWire, snapshotFromWire } from '@vivarium/api/wire';
import type {
  ActionResult,
  AskOptions,
  CallOptions,
  ForkOptions,
  MakingOptions,
  SnapshotInfo,
  SnapshotOptions,
  Snapshots,
  Task,
  Vm,
  VmSnapshotSchedule,
  VmSnapshots,
} from '@vivarium/model';
import { longTask } from './lines.ts';
import { RemoteSchedule } from './schedule.ts';
import type { Transport } from './transport.ts';

/** The snapshots of one VM, through the daemon. */
export class RemoteVmSnapshots implements VmSnapshots {
  readonly #transport: Transport;
  readonly #id: string;
  readonly #keep: (wire: Instance) => void;
  readonly schedule: VmSnapshotSchedule;

  /** `keep` is told what a restore has made of the instance. */
  constructor(transport: Transport, id: string, keep: (wire: Instance) => void) {
    this.#transport = transport;
    this.#id = id;
    this.#keep = keep;
    this.schedule = new RemoteSchedule(transport, id);
  }

  create(options: SnapshotOptions & MakingOptions = {}): Task<SnapshotInfo> {
    const { name, expires, tags } = options;
    const send = { params: { id: this.#id }, json: { name, expires, tags } };
    return longTask(this.#transport, 'createSnapshot', send, options, snapshotFromWire);
  }

  async list({ signal }: AskOptions = {}): Promise<SnapshotInfo[]> {
    const send = { params: { id: this.#id }, signal };
    return (await this.#transport.json<Snapshot[]>('listInstanceSnapshots', send)).value.map(
      snapshotFromWire,
    );
  }

  async get(nameOrId: string, { signal }: AskOptions = {}): Promise<SnapshotInfo> {
    const send = { params: { id: this.#id, sid: nameOrId }, signal };
    return snapshotFromWire((await this.#transport.json<Snapshot>('getInstanceSnapshot', send)).value);
  }

  restore(nameOrId: string, options: CallOptions = {}): Task<ActionResult> {
    const send = { params: { id: this.#id, sid: nameOrId }, json: { start: false } };
    return longTask(this.#transport, 'restoreSnapshot', send, options, (wire: Instance) => {
      this.#keep(wire);
      return actionFromWire(wire);
    });
  }

  async remove(nameOrId: string, { signal }: AskOptions = {}): Promise<void> {
    const send = { params: { id: this.#id, sid: nameOrId }, signal };
    await this.#transport.json('deleteInstanceSnapshot', send);
  }
}

/** All snapshots, through the daemon. */
export class RemoteSnapshots implements Snapshots {
  readonly #transport: Transport;
  readonly #vm: (wire: Instance) => Vm;

  constructor(transport: Transport, vm: (wire: Instance) => Vm) {
    this.#transport = transport;
    this.#vm = vm;
  }

  async list({ instance, signal }: AskOptions & { instance?: string } = {}): Promise<SnapshotInfo[]> {
    const send = { query: { source_instance_id: instance }, signal };
    return (await this.#transport.json<Snapshot[]>('listSnapshots', send)).value.map(snapshotFromWire);
  }

  async get(id: string, { signal }: AskOptions = {}): Promise<SnapshotInfo> {
    const send = { params: { id }, signal };
    return snapshotFromWire((await this.#transport.json<Snapshot>('getSnapshot', send)).value);
  }

  fork(id: string, options: Omit<ForkOptions, 'unsafeIdentity'> & MakingOptions = {}): Task<Vm[]> {
    const send = { params: { id }, json: forkToWire(options) };
    return longTask(this.#transport, 'forkSnapshots', send, options, (wires: Instance[]) =>
      wires.map(this.#vm),
    );
  }

  async remove(id: string, { signal }: AskOptions = {}): Promise<void> {
    await this.#transport.json('deleteSnapshot', { params: { id }, signal });
  }
}
