import { statfs } from 'node:fs/promises';
import { VivError } from '@vivarium/model';

/** QEMU does not say why it could not write `bytes` below `dir`: it is asked of the file system. */
export async function fullOr(error: unknown, dir: string, bytes: number): Promise<unknown> {
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize >= bytes) return error;
  return new VivError('disk_full', `No space left for the guest's memory and devices in ${dir}`, {
    cause: error,
  });
}
