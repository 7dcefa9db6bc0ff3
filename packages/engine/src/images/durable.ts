import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';

/** Makes a rename or unlink in this directory survive a power cut. */
export async function syncDirectory(dir: string): Promise<void> {
  await using handle = await open(dir, 'r');
  await handle.sync();
}

async function writeSynced(file: string, data: string | Uint8Array): Promise<void> {
  await using handle: FileHandle = await open(file, 'w', 0o644);
  await handle.writeFile(data);
  await handle.sync();
}

/** Writes a file that later is renamed as part of its directory. */
export async function writeFileSynced(file: string, data: string | Uint8Array): Promise<void> {
  try {
    await writeSynced(file, data);
  } catch (error) {
    throw VivError.from(error);
  }
}

/** After it, and after a crash at any point of it, the file is either what it was or all of `data`. */
export async function replaceFile(file: string, data: string | Uint8Array): Promise<void> {
  const beside = `${file}.new`;
  try {
    await writeSynced(beside, data);
    await rename(beside, file);
    await syncDirectory(path.dirname(file));
  } catch (error) {
    await rm(beside, { force: true });
    throw VivError.from(error);
  }
}

/** Moves a finished file or directory to its name, durably. The content must have been synced. */
export async function publish(from: string, to: string): Promise<void> {
  await mkdir(path.dirname(to), { recursive: true });
  await rename(from, to);
  await syncDirectory(path.dirname(to));
}

/** Undefined where there is no such file. */
export async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
