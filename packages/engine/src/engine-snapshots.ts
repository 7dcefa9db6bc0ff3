import {
  type ActionResult,
  type CallOptions,
  type ForkOptions,
  type MakingOptions,
  type SnapshotInfo,
  type SnapshotOptions,
  type Snapshots,
  Task,
  type Vm,
  type VmSnapshotSchedule,
  type VmSnapshots,
} from '@vivarium/model';
import { withListener } from './engine-images.ts';
import type { Context } from './instances/context.ts';
import type { Instance } from './instances/instance.ts';
import { copiesMaking } from './requests/instances.ts';
import type { Requests } from './requests/requests.ts';
import { snapshotMaking } from './requests/snapshots.ts';
import type { SnapshotRoom } from './snapshots/snapshots.ts';

/** The snapshots of a data directory, as both doors show them. */
export class EngineSnapshots implements Snapshots {
  readonly #room: SnapshotRoom;
  readonly #context: Context;
  readonly #vm: (instance: Instance) => Vm;

  constructor(context: Context, room: SnapshotRoom, vm: (instance: Instance) => Vm) {
    this.#context = context;
    this.#room = room;
    this.#vm = vm;
  }

  async list({ instance }: { instance?: string } = {}): Promise<SnapshotInfo[]> {
    if (instance === undefined) return this.#room.list();
    // They outlive their instance: its id finds them still.
    const own = this.#room.list(instance);
    return own.length > 0 ? own : this.#room.list(this.#context.instances.find(instance).id);
  }

  async get(id: string): Promise<SnapshotInfo> {
    return this.#room.get(id);
  }

  fork(id: string, options: ForkOptions & MakingOptions = {}): Task<Vm[]> {
    return new Task(async (listener) => {
      const making = copiesMaking(this.#context, { snapshot: this.#room.get(id).id }, options, (call) =>
        this.#room.fork(id, { ...options, ...call }),
      );
      const copies = await this.#context.requests.once(withListener(options, listener), making);
      return copies.map(this.#vm);
    });
  }

  async remove(id: string): Promise<void> {
    await this.#room.remove(id);
  }
}

/** The snapshots of one instance. */
export class EngineVmSnapshots implements VmSnapshots {
  readonly #room: SnapshotRoom;
  readonly #instance: Instance;
  readonly #requests: Requests;
  readonly schedule: VmSnapshotSchedule;

  constructor(room: SnapshotRoom, instance: Instance, requests: Requests, schedule: VmSnapshotSchedule) {
    this.schedule = schedule;
    this.#room = room;
    this.#instance = instance;
    this.#requests = requests;
  }

  create(options: SnapshotOptions & MakingOptions = {}): Task<SnapshotInfo> {
    return new Task((listener) =>
      this.#requests.once(
        withListener(options, listener),
        snapshotMaking(this.#room, this.#instance, options),
      ),
    );
  }

  async list(): Promise<SnapshotInfo[]> {
    return this.#room.list(this.#instance.id);
  }

  async get(nameOrId: string): Promise<SnapshotInfo> {
    return this.#room.of(this.#instance, nameOrId);
  }

  restore(nameOrId: string, options: CallOptions = {}): Task<ActionResult> {
    return new Task((listener) =>
      this.#room.restore(this.#instance, nameOrId, withListener(options, listener)),
    );
  }

  async remove(nameOrId: string): Promise<void> {
    await this.#room.remove(this.#room.of(this.#instance, nameOrId).id);
  }
}
