import { watch } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { LineSplitter } from './lines.ts';

export interface FollowOptions {
  /** Go on with what is appended. */
  follow: boolean;
  /** Resolves when nothing will be appended any more. */
  ended: Promise<unknown>;
  signal?: AbortSignal;
}

async function openLog(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** One of the files that a log lies in. */
interface Generation {
  file: string;
  ino: number;
}

/**
 * A log and the rotated files before it, the oldest first. A rotation in the middle of a look would hide one of them, or show what is over as
 * new: two looks have to agree.
 */
async function generations(file: string): Promise<Generation[]> {
  let before = await look(file);
  for (;;) {
    const found = await look(file);
    if (isDeepStrictEqual(found, before)) return found;
    before = found;
  }
}

async function look(file: string): Promise<Generation[]> {
  const base = path.basename(file);
  const numbered: { name: string; age: number }[] = [];
  for (const name of await namesIn(path.dirname(file))) {
    const rest = name.startsWith(base) ? name.slice(base.length) : undefined;
    if (rest === '') numbered.push({ name, age: 0 });
    else if (rest !== undefined && /^\.\d{1,3}$/.test(rest))
      numbered.push({ name, age: Number(rest.slice(1)) });
  }
  const found: Generation[] = [];
  for (const { name } of numbered.sort((a, b) => b.age - a.age)) {
    const full = path.join(path.dirname(file), name);
    const ino = await inodeOf(full);
    // The same file twice: it was renamed between two looks.
    if (ino !== undefined && found.at(-1)?.ino !== ino) found.push({ file: full, ino });
  }
  return found;
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function inodeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).ino;
  } catch (error) {
    // Between the rename of a rotation and the new file.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** True when there is anything to read, rotated or not. */
export async function logExists(file: string): Promise<boolean> {
  return (await generations(file)).length > 0;
}

/**
 * The file that is to be read after the one in hand (undefined: none yet); undefined where that is the last. One that is gone has
 * been rotated away, and the oldest that is left comes after it.
 */
async function openNext(file: string, current: number | undefined): Promise<FileHandle | undefined> {
  for (;;) {
    const all = await generations(file);
    const next = all[all.findIndex(({ ino }) => ino === current) + 1];
    if (next === undefined) return undefined;
    const handle = await openLog(next.file);
    if (handle === undefined) continue;
    if ((await handle.stat()).ino === next.ino) return handle;
    // A rotation between look and open.
    await handle.close();
  }
}

/** Comes once among the lines, when all that was there at first has been read. */
export const caughtUp = Symbol('caught up');

/**
 * The lines of a log and of the rotated files before it, then (with `follow`) what is appended, over rotations: each file is read to
 * its end before the next one is begun. A reader that falls behind by more files than are kept misses those that are gone.
 */
export async function* followLines(
  file: string,
  { follow, ended, signal }: FollowOptions,
): AsyncGenerator<string | typeof caughtUp> {
  let wake = Promise.withResolvers<void>();
  let over = false;
  let told = false;
  const poke = () => wake.resolve();
  // Watching begins before reading, so that nothing appended in between is missed.
  const watcher = follow ? watch(path.dirname(file), poke) : undefined;
  const end = () => {
    over = true;
    poke();
  };
  void ended.then(end, end);
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  // The directory is gone, and with it what could be told.
  watcher?.on('error', end);
  const splitter = new LineSplitter();
  let handle: FileHandle | undefined;
  let current: number | undefined;
  try {
    for (;;) {
      const last = over || !follow;
      wake = Promise.withResolvers();
      if (handle !== undefined) yield* drain(handle, splitter);
      if (signal?.aborted) return;
      const next = await openNext(file, current);
      if (next !== undefined) {
        // Nothing is written to it any more; but it may have been since it was read.
        if (handle !== undefined) yield* drain(handle, splitter);
        await handle?.close();
        handle = next;
        current = (await next.stat()).ino;
        continue;
      }
      if (signal?.aborted) return;
      if (last) break;
      if (!told) yield caughtUp;
      told = true;
      if (!over) await wake.promise;
    }
    yield* splitter.end();
  } finally {
    watcher?.close();
    signal?.removeEventListener('abort', end);
    await handle?.close();
  }
}

async function* drain(handle: FileHandle, splitter: LineSplitter): AsyncGenerator<string> {
  const buffer = Buffer.alloc(64 * 1024);
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) return;
    yield* splitter.push(buffer.subarray(0, bytesRead));
  }
}
