import { operationAllowed } from '@vivarium/lifecycle';
import {
  type ActionResult,
  type CallOptions,
  type ForkOptions,
  nextName,
  parseExpiry,
  type SnapshotInfo,
  type SnapshotOptions,
  type Snapshots,
  Task,
  VivError,
  type VmSnapshotSchedule,
  type VmSnapshots,
} from '@vivarium/model';
import { copiesOf, forkStateOf, type Original, originalOf, stateOf } from './fake-forks.ts';
import { fakeSchedule } from './fake-schedule.ts';
import { checkName, type FakeVivarium } from './fake-vivarium.ts';
import type { FakeVm } from './fake-vm.ts';

/** A snapshot, and what it holds. */
interface Kept {
  info: SnapshotInfo;
  original: Original;
}

/** All snapshots of a {@link FakeVivarium}. */
export class FakeSnapshots implements Snapshots {
  readonly kept: Kept[] = [];
  readonly #home: FakeVivarium;

  constructor(home: FakeVivarium) {
    this.#home = home;
  }

  async list({ instance }: { instance?: string } = {}): Promise<SnapshotInfo[]> {
    const found = this.kept.map(({ info }) => info);
    return instance === undefined ? found : found.filter(({ instanceId }) => instanceId === instance);
  }

  async get(id: string): Promise<SnapshotInfo> {
    return this.find(id, this.kept).info;
  }

  fork(id: string, options: Omit<ForkOptions, 'unsafeIdentity'> & CallOptions = {}) {
    return new Task(async () => copiesOf(this.#home, this.find(id, this.kept).original, options));
  }

  async remove(id: string): Promise<void> {
    this.kept.splice(this.kept.indexOf(this.find(id, this.kept)), 1);
  }

  find(nameOrId: string, among: readonly Kept[]): Kept {
    const found =
      among.find(({ info }) => info.name === nameOrId) ??
      among.find(({ info }) => nameOrId.length > 5 && info.id.startsWith(nameOrId));
    if (found === undefined) throw new VivError('not_found', `No snapshot ${JSON.stringify(nameOrId)}.`);
    return found;
  }
}

/** The snapshots of one VM. */
export class FakeVmSnapshots implements VmSnapshots {
  readonly #home: FakeVivarium;
  readonly #vm: FakeVm;
  readonly schedule: VmSnapshotSchedule;

  constructor(home: FakeVivarium, vm: FakeVm) {
    this.schedule = fakeSchedule(home.schedules, vm.info.id);
    this.#home = home;
    this.#vm = vm;
  }

  get #own(): Kept[] {
    return this.#home.snapshots.kept.filter(({ info }) => info.instanceId === this.#vm.id);
  }

  create(options: SnapshotOptions & CallOptions = {}): Task<SnapshotInfo> {
    return new Task(async () => {
      const vm = await this.#vm.refresh();
      const taken = this.#own.map(({ info }) => info.name);
      const name = nextName(options.name ?? 'snap%d', taken);
      checkName(name);
      if (taken.includes(name)) throw new VivError('name_conflict', `${vm.name} has a snapshot ${name}.`);
      const state = forkStateOf(vm);
      const { image, cpus, memoryBytes, diskBytes, snapshotId: parentId } = vm;
      const info: SnapshotInfo = {
        id: this.#home.newId(),
        name,
        instanceId: vm.id,
        instanceName: vm.name,
        state,
        hasMemory: state !== 'stopped',
        image,
        cpus,
        memoryBytes,
        diskBytes,
        sizeBytes: 2 ** 20,
        createdAt: new Date().toISOString(),
        ...(parentId === undefined ? {} : { parentId }),
        ...(options.tags === undefined ? {} : { tags: options.tags }),
        ...(options.expires === undefined ? {} : { expiresAt: parseExpiry(options.expires) }),
      };
      options.onProgress?.({ stage: 'saved', pauseMilliseconds: 7 });
      this.#home.snapshots.kept.push({
        info,
        original: { ...originalOf(this.#home, vm), snapshotId: info.id },
      });
      this.#home.add({ ...vm, snapshotId: info.id });
      await this.#vm.refresh();
      return info;
    });
  }

  async list(): Promise<SnapshotInfo[]> {
    return this.#own.map(({ info }) => info);
  }

  async get(nameOrId: string): Promise<SnapshotInfo> {
    return this.#home.snapshots.find(nameOrId, this.#own).info;
  }

  restore(nameOrId: string): Task<ActionResult> {
    return new Task(async () => {
      const vm = await this.#vm.refresh();
      const { info, original } = this.#home.snapshots.find(nameOrId, this.#own);
      if (!operationAllowed(vm.state, 'restore-in-place'))
        throw new VivError('invalid_state', `${vm.name} is ${vm.state}.`, { hint: 'Stop it first.' });
      this.#home.calls.push(`restore ${vm.name} ${info.name}`);
      const state = info.hasMemory ? stateOf('suspended') : stateOf('stopped');
      const { suspendedAt: _, ...rest } = vm;
      this.#home.add({
        ...rest,
        state,
        snapshotId: info.id,
        ...(info.hasMemory ? { suspendedAt: info.createdAt } : {}),
      });
      this.#home.disks.set(vm.id, new Map(original.disk));
      this.#home.printed.set(vm.id, [...original.printed]);
      await this.#vm.refresh();
      return { changed: true, state };
    });
  }

  async remove(nameOrId: string): Promise<void> {
    await this.#home.snapshots.remove((await this.get(nameOrId)).id);
  }
}
