import { watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import path from 'node:path';
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

/** True when there is anything to read, rotated or not. */
export async function logExists(file: string): Promise<boolean> {
  for (const name of [file, `${file}.1`]) {
    const handle = await openLog(name);
    if (handle !== undefined) {
      await handle.close();
      return true;
    }
  }
  return false;
}

/** Comes once among the lines, when all that was there at first has been read. */
export const caughtUp = Symbol('caught up');

/**
 * The lines of a log and of the rotated file before it, then (with `follow`) what is appended, over rotations: the old file
 * is read to its end before the new one is begun.
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
  try {
    const before = await openLog(`${file}.1`);
    if (before !== undefined) {
      try {
        yield* drain(before, splitter);
      } finally {
        await before.close();
      }
    }
    for (;;) {
      const last = over || !follow;
      wake = Promise.withResolvers();
      handle ??= await openLog(file);
      if (handle !== undefined) {
        yield* drain(handle, splitter);
        if (signal?.aborted) return;
        if (await rotated(handle, file)) {
          yield* drain(handle, splitter);
          await handle.close();
          handle = undefined;
          continue;
        }
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

async function rotated(handle: FileHandle, file: string): Promise<boolean> {
  try {
    const [mine, theirs] = await Promise.all([handle.stat(), stat(file)]);
    return mine.ino !== theirs.ino;
  } catch (error) {
    // Between the rename of a rotation and the new file.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
