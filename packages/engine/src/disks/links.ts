import { randomUUID } from 'node:crypto';
import { link, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { inode, rootNames } from './chain.ts';
import { renameBacking } from './qcow2.ts';
import { runTool } from './qemu-img.ts';

/** Another file system; a file with as many names as can be (ext4: 65,000); one that knows no hard links. */
const copied = new Set(['EXDEV', 'EMLINK', 'EPERM']);

/**
 * Gives a file that nobody writes any more another name, and where that can not be makes a copy of it. A name that it has
 * already is left. `copy: false`: of one that is written.
 *
 * @throws VivError `conflict` where the name belongs to another file; `not_supported` where it would have to be copied and may not.
 */
export async function linkFile(from: string, to: string, { copy = true } = {}): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      if ((await inode(from)) === (await inode(to))) return;
      throw new VivError('conflict', `There is another file at ${to}`, { cause: error });
    }
    if (!copied.has(code ?? '')) throw VivError.from(error);
    if (!copy)
      throw new VivError('not_supported', `${from} is being written, and can't be at ${to} too`, {
        cause: error,
      });
    await copyFile(from, to);
  }
}

async function copyFile(from: string, to: string): Promise<void> {
  const temporary = `${to}.${randomUUID().slice(0, 8)}.new`;
  try {
    await runTool('cp', ['--sparse=always', '--reflink=auto', '--preserve=mode', '--', from, temporary]);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Sees to it that a disk names nothing outside its directory. Disks were once made over `../../disks/…`, which resolves from
 * one depth only. Also below a live VMM, which has that file open and does not look at the name again.
 */
export async function bringBase(dir: string, lowest: string, base: string): Promise<string> {
  if (!base.includes('/')) return base;
  await linkFile(path.resolve(dir, base), path.join(dir, rootNames.base));
  await renameBacking(path.join(dir, lowest), rootNames.base);
  return rootNames.base;
}

export async function syncDirectory(dir: string): Promise<void> {
  await using handle = await open(dir, 'r');
  await handle.sync();
}

/** Nobody may write it any more. */
export async function isSealed(file: string): Promise<boolean> {
  return ((await stat(file)).mode & 0o222) === 0;
}
