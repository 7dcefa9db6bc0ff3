import {
  type ActionResult,
  type AskOptions,
  type CallOptions,
  type ForkOptions,
  type MakingOptions,
  refuseAborted,
  type SnapshotInfo,
  type SnapshotOptions,
  type Snapshots,
  type Task,
  type Vm,
  type VmSnapshotSchedule,
  type VmSnapshots,
} from '@vivarium/model';
import { instanceResource, snapshotResource } from './engine-events.ts';
import type { Context } from './instances/context.ts';
import type { Instance } from './instances/instance.ts';
import type { Tasks } from './operations/tasks.ts';
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

  async list(options: AskOptions & { instance?: string } = {}): Promise<SnapshotInfo[]> {
    refuseAborted(options);
    const { instance } = options;
    if (instance === undefined) return this.#room.list();
    // They outlive their instance: its id finds them still.
    const own = this.#room.list(instance);
    return own.length > 0 ? own : this.#room.list(this.#context.instances.find(instance).id);
  }

  async get(id: string, options: AskOptions = {}): Promise<SnapshotInfo> {
    refuseAborted(options);
    return this.#room.get(id);
  }

  fork(id: string, options: ForkOptions & MakingOptions = {}): Task<Vm[]> {
    const { signal, onProgress, idempotencyKey, ...rest } = options;
    const asked = {
      action: 'fork',
      resource: { kind: 'snapshot', id, name: id },
      result: (vms: Vm[]) => vms.map(instanceResource),
    };
    return this.#context.tasks.task(asked, { signal, onProgress }, async (inner) => {
      const making = copiesMaking(this.#context, { snapshot: this.#room.get(id).id }, rest, (call) =>
        this.#room.fork(id, { ...rest, ...call }),
      );
      const copies = await this.#context.requests.once({ ...inner, idempotencyKey }, making);
      return copies.map(this.#vm);
    });
  }

  async remove(id: string, options: AskOptions = {}): Promise<void> {
    refuseAborted(options);
    await this.#room.remove(id);
  }
}

/** The snapshots of one instance. */
export class EngineVmSnapshots implements VmSnapshots {
  readonly #room: SnapshotRoom;
  readonly #instance: Instance;
  readonly #requests: Requests;
  readonly #tasks: Tasks;
  readonly schedule: VmSnapshotSchedule;

  constructor(
    room: SnapshotRoom,
    instance: Instance,
    { requests, tasks }: Context,
    schedule: VmSnapshotSchedule,
  ) {
    this.#tasks = tasks;
    this.schedule = schedule;
    this.#room = room;
    this.#instance = instance;
    this.#requests = requests;
  }

  create(options: SnapshotOptions & MakingOptions = {}): Task<SnapshotInfo> {
    const { signal, onProgress, idempotencyKey, ...rest } = options;
    const asked = {
      action: 'snapshot',
      resource: instanceResource(this.#instance.record),
      result: (made: SnapshotInfo) => [snapshotResource(made)],
    };
    return this.#tasks.task(asked, { signal, onProgress }, (call) =>
      this.#requests.once({ ...call, idempotencyKey }, snapshotMaking(this.#room, this.#instance, rest)),
    );
  }

  async list(options: AskOptions = {}): Promise<SnapshotInfo[]> {
    refuseAborted(options);
    return this.#room.list(this.#instance.id);
  }

  async get(nameOrId: string, options: AskOptions = {}): Promise<SnapshotInfo> {
    refuseAborted(options);
    return this.#room.of(this.#instance, nameOrId);
  }

  restore(nameOrId: string, options: CallOptions = {}): Task<ActionResult> {
    const asked = { action: 'restore-in-place', resource: instanceResource(this.#instance.record) };
    return this.#tasks.task(asked, options, (call) => this.#room.restore(this.#instance, nameOrId, call));
  }

  async remove(nameOrId: string, options: AskOptions = {}): Promise<void> {
    refuseAborted(options);
    await this.#room.remove(this.#room.of(this.#instance, nameOrId).id);
  }
}
