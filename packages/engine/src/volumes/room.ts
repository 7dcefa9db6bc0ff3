import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type CopyVolumeOptions,
  type CreateVolumeOptions,
  formatSize,
  parseSize,
  VivError,
  type VolumeInfo,
} from '@vivarium/model';
import { createId } from '../ids.ts';
import { syncDirectory } from '../images/durable.ts';
import type { Context } from '../instances/context.ts';
import { checkName, inventName } from '../instances/names.ts';
import { limits } from '../instances/resolve.ts';
import { orAborted } from '../or-aborted.ts';
import { noteEvent } from '../store/events.ts';
import type { NamedRecords } from '../store/named-records.ts';
import { attachmentsOf } from './attachments.ts';
import { type VolumeOrigin, type VolumeRecord, writeVolumeRecord } from './record.ts';
import { VolumeRegistry } from './registry.ts';
import { Volume } from './volume.ts';
import { clearWorkers, withGuest } from './worker.ts';

const idPattern = /^[a-z0-9][a-z0-9_-]{2,63}$/;
/** As root disks: whole MiB, so that there are few different empty ones. */
const grain = 1024 ** 2;
/** Milliseconds that a journal takes to be replayed, at most. */
const cleaningMs = 180_000;

/** The volumes of a data directory: `<data directory>/volumes/<id>/` with a disk and a record each. */
export class VolumeRoom {
  readonly registry = new VolumeRegistry();
  readonly dir: string;
  readonly #context: Context;
  readonly #store: NamedRecords<VolumeRecord>;
  readonly #closing = new AbortController();

  constructor(context: Context, dir: string, store: NamedRecords<VolumeRecord>) {
    this.#context = context;
    this.dir = dir;
    this.#store = store;
  }

  /** Before any instance is looked at: what was being made is undone, what was being removed goes. */
  async open(): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    await clearWorkers(this.#context, this.dir);
    for (const record of this.#store.all()) {
      const volume = new Volume(record, this.dir);
      if (record.phase === 'made') this.registry.add(volume);
      else await this.#forget(volume);
    }
  }

  find(idOrName: string): Volume {
    return this.registry.find(idOrName);
  }

  /** Of one that an instance has. It can't be gone: who has it keeps it. */
  ofId(id: string): Volume {
    const volume = this.registry.byId(id);
    if (volume?.record.phase !== 'made')
      throw new VivError('not_found', `The volume ${id} is not there any more`, {
        hint: 'Restore it with `viv doctor --rebuild`, or detach it.',
      });
    return volume;
  }

  madeBy(operation: string): Volume[] {
    return this.registry.all().filter(({ record }) => record.operation === operation);
  }

  async info({ record, dir }: Volume): Promise<VolumeInfo> {
    const { id, name, bytes, tags, readOnly, sourceId, createdAt } = record;
    return {
      id,
      name,
      tags,
      readOnly,
      ...(sourceId === undefined ? {} : { sourceId }),
      createdAt,
      sizeBytes: bytes,
      usedBytes: await usedBytes(dir),
      attachments: attachmentsOf(this.#context, record.id).map(({ instance, attachment }) => ({
        instanceId: instance.id,
        instanceName: instance.record.name,
        path: attachment.path,
        mode: attachment.mode,
      })),
    };
  }

  /** `fill` makes its disk what it is to be, in its directory; whatever fails, nothing is left. */
  async create(
    options: CreateVolumeOptions,
    more: VolumeOrigin = {},
    fill: (volume: Volume) => Promise<unknown> = (volume) =>
      this.#context.disks.create(volume.dir, volume.record.bytes),
  ): Promise<Volume> {
    const volume = new Volume({ ...this.#newRecord(options), ...more }, this.dir);
    // Synchronous from the check of the name to here: of two with one name one loses.
    this.registry.add(volume);
    try {
      this.#store.save(volume.record);
      await rm(volume.dir, { recursive: true, force: true });
      await mkdir(volume.dir, { mode: 0o700 });
      await fill(volume);
      await this.change(volume, { phase: 'made' });
      await syncDirectory(this.dir);
    } catch (error) {
      await this.#forget(volume);
      throw VivError.from(error);
    }
    this.#emit(volume, 'created');
    return volume;
  }

  /** @throws VivError `conflict` while an instance has it, `busy`. */
  async remove(volume: Volume): Promise<void> {
    const [first, ...others] = attachmentsOf(this.#context, volume.id);
    if (first !== undefined) {
      const more = others.length === 0 ? '' : ` and ${others.length} more`;
      throw new VivError(
        'conflict',
        `The volume ${volume.name} is attached to ${first.instance.record.name}${more}`,
        { hint: 'Detach it first, or delete the instance.' },
      );
    }
    await volume.hold('removed', async () => {
      volume.record = { ...volume.record, phase: 'removing' };
      this.#store.save(volume.record);
      await this.#forget(volume);
      this.#emit(volume, 'removed');
    });
  }

  /** Writes it down, in the database and beside the disk. */
  async change(volume: Volume, changes: Partial<VolumeRecord>): Promise<void> {
    volume.record = { ...volume.record, ...changes };
    const kept = { ...volume.record };
    await writeVolumeRecord(volume.dir, kept);
    this.#store.save(kept);
  }

  /** Readers can use it as it is from here on: a guest has replayed its journal where one was left. */
  async makeClean(volume: Volume, signal: AbortSignal): Promise<void> {
    if (volume.record.unclean === undefined) return;
    volume.cleaning ??= this.#clean(volume).finally(() => {
      volume.cleaning = undefined;
    });
    await orAborted(volume.cleaning, signal);
  }

  async #clean(volume: Volume): Promise<void> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(cleaningMs)]);
    await withGuest(this.#context, volume, { mode: 'rw', signal }, async () => undefined);
    await this.change(volume, { unclean: undefined, generation: volume.record.generation + 1 });
  }

  /** From here on somebody may write to it. */
  async takeForWriting(volume: Volume): Promise<void> {
    await this.change(volume, { unclean: true, generation: volume.record.generation + 1 });
  }

  /** Takes back into the database what a lost one knew. @throws VivError `name_conflict`. */
  adopt(record: VolumeRecord): Volume {
    const volume = new Volume(record, this.dir);
    this.registry.add(volume);
    this.#store.save(record);
    return volume;
  }

  close(): void {
    this.#closing.abort(new VivError('cancelled', 'The engine is being closed'));
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Options of a copy, as those of something new. */
  copyOptions({ record }: Volume, { name, tags }: CopyVolumeOptions): CreateVolumeOptions {
    return { size: record.bytes, tags: tags ?? record.tags, ...(name === undefined ? {} : { name }) };
  }

  #newRecord({ id, name, size, tags = {} }: CreateVolumeOptions): VolumeRecord {
    if (id !== undefined && !idPattern.test(id))
      throw new VivError('invalid_request', `Not an id of a volume: ${JSON.stringify(id)}`, {
        hint: 'Use 3 to 64 lower-case letters, digits, hyphens and underscores.',
      });
    if (Object.keys(tags).length > limits.tags)
      throw new VivError('invalid_request', `More than ${limits.tags} tags`);
    return {
      format: 1,
      id: id ?? createId(),
      name: name === undefined ? inventName((taken) => this.registry.has(taken)) : checkName(name),
      bytes: volumeBytes(size),
      tags,
      readOnly: false,
      createdAt: new Date().toISOString(),
      phase: 'making',
      generation: 0,
    };
  }

  async #forget(volume: Volume): Promise<void> {
    await rm(volume.dir, { recursive: true, force: true, maxRetries: 3 });
    this.#store.drop(volume.id);
    this.registry.remove(volume);
  }

  #emit({ id, name, record }: Volume, type: string): void {
    noteEvent(this.#context.events, { kind: 'volume', id, name }, type, { sizeBytes: record.bytes });
  }
}

/** @throws VivError `invalid_size`. */
export function volumeBytes(size: number | string): number {
  const bytes = Math.ceil(parseSize(size, 'volume size') / grain) * grain;
  const { least, most } = limits.diskBytes;
  if (bytes < least || bytes > most)
    throw new VivError('invalid_size', `A volume of ${formatSize(bytes)} is not possible`, {
      hint: `Choose ${formatSize(least)} to ${formatSize(most)}.`,
    });
  return bytes;
}

/** What the files of its disk take, without the empty file system that all of its size share. Layers, and volumes, may go meanwhile. */
async function usedBytes(dir: string): Promise<number> {
  let sum = 0;
  const seen = new Set<number>();
  for (const name of await unlessGone(readdir(dir), [])) {
    if (!name.endsWith('.qcow2')) continue;
    const found = await unlessGone(stat(path.join(dir, name)), undefined);
    if (found === undefined) continue;
    if (!seen.has(found.ino)) sum += found.blocks * 512;
    seen.add(found.ino);
  }
  return sum;
}

async function unlessGone<T, U>(found: Promise<T>, otherwise: U): Promise<T | U> {
  try {
    return await found;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return otherwise;
  }
}
