import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { formatSize, VivError } from '@vivarium/model';
import { runTool } from './qemu-img.ts';

const running = new Map<string, Promise<string>>();
/** Directories that this process has cleared of what its predecessors left. A data directory has one owner at a time. */
const cleared = new Map<string, Promise<void>>();

/**
 * Options of the file system. Zeroed storage is promised (the file is a hole), so that neither mkfs nor the guest's kernel
 * has inode tables and journal to clear: a guest that starts would otherwise begin by writing megabytes of zeros.
 */
const extended = 'lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1,nodiscard,root_owner=0:0';

async function makeBase(dir: string, file: string, bytes: number): Promise<void> {
  const temporary = path.join(dir, `.making-${process.pid}-${randomUUID()}`);
  try {
    await mkdir(dir, { recursive: true });
    await clearOnce(dir);
    await using handle = await open(temporary, 'wx', 0o600);
    await handle.truncate(bytes);
    const journal = bytes >= 1024 ** 3 ? ['-J', 'size=32'] : [];
    const argv = ['-q', '-F', '-t', 'ext4', '-L', 'root', '-m', '0', ...journal, '-E', extended, temporary];
    await runTool('mkfs.ext4', argv);
    await handle.chmod(0o400);
    await handle.sync();
    await rename(temporary, file);
    await using parent = await open(dir, 'r');
    await parent.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    if ((error as NodeJS.ErrnoException).code !== 'EFBIG') throw VivError.from(error);
    throw new VivError('invalid_size', `The file system of ${dir} holds no file of ${formatSize(bytes)}`, {
      hint: 'Choose a smaller root disk.',
      cause: error,
    });
  }
}

async function clearOnce(dir: string): Promise<void> {
  const clearing = cleared.get(dir) ?? clearAway(dir);
  cleared.set(dir, clearing);
  clearing.catch(() => cleared.delete(dir)); // The caller throws it; the next one tries again.
  await clearing;
}

/** Removes what a killed process left half-made. */
async function clearAway(dir: string): Promise<void> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) if (name.startsWith('.making-')) await rm(path.join(dir, name), { force: true });
}

async function isFile(file: string, bytes: number): Promise<boolean> {
  try {
    return (await stat(file)).size === bytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/**
 * The empty ext4 file system of a size, made once: a sparse read-only file that every root disk of that size stands on.
 * It takes milliseconds and is shared by those who ask at the same time, so nobody can cancel it.
 *
 * @returns its path.
 */
export async function baseDisk(dir: string, bytes: number): Promise<string> {
  const file = path.join(dir, `ext4-${bytes}.raw`);
  if (await isFile(file, bytes)) return file;
  const making =
    running.get(file) ??
    makeBase(dir, file, bytes)
      .then(() => file)
      .finally(() => running.delete(file));
  running.set(file, making);
  return making;
}
