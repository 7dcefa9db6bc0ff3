import { operationAllowed } from '@vivarium/lifecycle';
import {
  type ActionResult,
  type CallOptions,
  type ForkOptions,
  nextName,
  parseExpiry,
  type SnapshotInfo,
  type SnapshotOptions,
  VivError,
} from '@vivarium/model';
import { createId } from '../ids.ts';
import { deadlines, invalidState } from '../instances/actions.ts';
import type { Context } from '../instances/context.ts';
import { checkForkOptions, makeCopies } from '../instances/copies.ts';
import { flattenSoon } from '../instances/flatten.ts';
import type { Instance } from '../instances/instance.ts';
import { checkName } from '../instances/names.ts';
import { takeOrigin } from '../instances/origin.ts';
import { checkTags } from '../instances/resolve.ts';
import type { MarkedCall } from '../requests/request.ts';
import { noteEvent } from '../store/events.ts';
import { bytesBelow } from '../templates/store.ts';
import { expectSaveable } from '../volumes/in-use.ts';
import { putInPlace, restoreInPlace } from './restore.ts';
import { SnapshotShelf, type StoredSnapshot } from './shelf.ts';

/** Milliseconds between two looks for what has expired. */
const lookMs = 30_000;
const defaultName = 'snap%d';

/** Instants of instances that were kept under a name. They outlive their sources. */
export class SnapshotRoom implements Disposable {
  readonly #context: Context;
  readonly #shelf: SnapshotShelf;
  readonly #warn: (message: string) => void;
  readonly #timer: NodeJS.Timeout;

  constructor(context: Context, dir: string, warn: (message: string) => void) {
    this.#context = context;
    this.#shelf = new SnapshotShelf(dir);
    this.#warn = warn;
    this.#timer = setInterval(() => void this.expire(), lookMs).unref();
  }

  async open(): Promise<void> {
    await this.#shelf.open(this.#warn);
    await this.expire();
  }

  list(instanceId?: string): SnapshotInfo[] {
    const all = this.#shelf.all().map(({ info }) => info);
    return instanceId === undefined ? all : all.filter((info) => info.instanceId === instanceId);
  }

  get(id: string): SnapshotInfo {
    return this.#shelf.find(id).info;
  }

  /** The one that a request with an idempotency key was made for. */
  madeFor(request: string): SnapshotInfo | undefined {
    return this.#shelf.all().find((stored) => stored.request === request)?.info;
  }

  /** Digests of the images that snapshots stand on. */
  images(): Set<string> {
    return new Set(this.#shelf.all().map(({ info }) => info.image.digest));
  }

  /** Of one instance, by name, then by id or its beginning. @throws VivError `not_found`. */
  of(instance: Instance, nameOrId: string): SnapshotInfo {
    const own = this.list(instance.id);
    const found =
      own.find(({ name }) => name === nameOrId) ??
      own.find(({ id }) => nameOrId !== '' && id.startsWith(nameOrId));
    if (found !== undefined) return found;
    throw new VivError('not_found', `${instance.record.name} has no snapshot ${nameOrId}`, {
      hint: own.length === 0 ? undefined : `It has ${own.map(({ name }) => name).join(', ')}.`,
    });
  }

  /** Of one schedule, oldest first. */
  ofSchedule(id: string): SnapshotInfo[] {
    return this.#shelf
      .all()
      .filter(({ schedule }) => schedule === id)
      .map(({ info }) => info);
  }

  /** `schedule`: id of the one that has it taken. */
  async create(
    instance: Instance,
    options: SnapshotOptions & MarkedCall,
    schedule?: string,
  ): Promise<SnapshotInfo> {
    const info = await this.#take(instance, options, schedule);
    void flattenSoon(this.#context, instance);
    return info;
  }

  async #take(
    instance: Instance,
    options: SnapshotOptions & MarkedCall,
    schedule: string | undefined,
  ): Promise<SnapshotInfo> {
    const { name: pattern = defaultName, expires, tags } = options;
    checkTags(tags);
    const expiresAt = expires === undefined ? undefined : parseExpiry(expires);
    return this.#context.door.run(
      instance,
      {
        action: 'snapshot',
        deadlineMs: deadlines.snapshot,
        signal: options.signal,
        onProgress: options.onProgress,
        check: () => {
          if (instance.gone) throw new VivError('not_found', `${instance.record.name} has been deleted`);
          if (!operationAllowed(instance.state, 'snapshot')) throw invalidState(instance, 'snapshot');
          this.#name(instance, pattern);
          expectSaveable(instance, 'snapshot');
          return undefined;
        },
      },
      async (operation) => {
        const id = createId();
        const origin = await takeOrigin(this.#context, instance, operation, {
          dir: this.#shelf.path(id),
          durable: true,
          // It goes on in its place; a copy of it is refused unless asked for.
          unsafe: true,
        });
        const { record } = instance;
        const info: SnapshotInfo = {
          id,
          name: this.#name(instance, pattern),
          instanceId: record.id,
          instanceName: record.name,
          state: origin.was,
          hasMemory: origin.state !== undefined,
          image: record.spec.image,
          cpus: record.spec.cpus,
          memoryBytes: record.spec.memoryBytes,
          diskBytes: record.spec.diskBytes,
          sizeBytes: await bytesBelow(origin.dir),
          ...(record.snapshotId === undefined ? {} : { parentId: record.snapshotId }),
          ...(tags === undefined || Object.keys(tags).length === 0 ? {} : { tags }),
          createdAt: new Date(this.#context.clock.now()).toISOString(),
          ...(expiresAt === undefined ? {} : { expiresAt }),
        };
        operation.undo('forget the snapshot', () => this.#shelf.remove(id));
        await this.#shelf.add({
          format: 1,
          info,
          record: origin.record,
          was: origin.was,
          frozen: origin.frozen,
          ...(schedule === undefined ? {} : { schedule }),
          ...(options.request === undefined ? {} : { request: options.request }),
        });
        instance.change({ snapshotId: id });
        instance.emit('snapshot', { id, name: info.name });
        return info;
      },
    );
  }

  /** The instance becomes what the snapshot holds. */
  async restore(instance: Instance, nameOrId: string, call: CallOptions): Promise<ActionResult> {
    const stored = this.#shelf.find(this.of(instance, nameOrId).id);
    return restoreInPlace(this.#context, instance, stored, () => this.#shelf.origin(stored), call);
  }

  /** Finishes a restore that a kill has cut off. Where that can't be done the instance is Error, with the evidence. */
  async resume(instance: Instance): Promise<void> {
    const { restoring } = instance.record;
    if (restoring === undefined) return;
    try {
      const stored = this.#shelf.find(restoring.snapshotId);
      await putInPlace(this.#context, instance, await this.#shelf.origin(stored), stored.info.id);
      this.#context.journal.save(instance.record);
    } catch (error) {
      instance.latch(VivError.from(error));
    }
  }

  async fork(id: string, options: ForkOptions & MarkedCall): Promise<Instance[]> {
    const stored = this.#shelf.find(id);
    checkForkOptions(options, stored.was);
    if (
      stored.info.hasMemory &&
      !stored.frozen &&
      options.unsafeIdentity !== true &&
      options.state !== 'stopped'
    ) {
      throw new VivError('identity_unsafe', `${stored.info.name} was taken while its agent did not answer`, {
        hint: 'Copy it to `stopped`, or restore it in its place.',
      });
    }
    const call = { signal: options.signal, onProgress: options.onProgress, request: options.request };
    return makeCopies(this.#context, await this.#shelf.origin(stored), options, {
      call,
      snapshotId: stored.info.id,
    });
  }

  async remove(id: string): Promise<void> {
    const { info } = this.#shelf.find(id);
    await this.#shelf.remove(info.id);
    this.#tell(info, 'snapshot-removed');
  }

  async expire(now = Date.now()): Promise<void> {
    for (const { info } of this.#shelf.all()) {
      if (info.expiresAt === undefined || Date.parse(info.expiresAt) > now) continue;
      try {
        await this.#shelf.remove(info.id);
        this.#tell(info, 'snapshot-expired');
      } catch (error) {
        this.#warn(
          `The snapshot ${info.name} of ${info.instanceName} was not removed: ${VivError.from(error).message}`,
        );
      }
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #name(instance: Instance, pattern: string): string {
    const taken = new Set(this.list(instance.id).map(({ name }) => name));
    const name = nextName(pattern, taken);
    checkName(name);
    if (taken.has(name)) {
      throw new VivError('name_conflict', `${instance.record.name} has a snapshot ${name} already`, {
        hint: 'Let `%d` stand for a number: `snap%d`.',
      });
    }
    return name;
  }

  #tell({ id, name, instanceId, instanceName }: StoredSnapshot['info'], type: string): void {
    const instance = [...this.#context.instances.all()].find((one) => one.id === instanceId);
    if (instance !== undefined) instance.emit(type, { id, name });
    else noteEvent(this.#context.events, { id: instanceId, name: instanceName }, type, { id, name });
  }
}
