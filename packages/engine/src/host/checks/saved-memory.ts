import { existsSync } from 'node:fs';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { HostCheck } from '../doctor.ts';

const name = 'saved memory';
const yama = '/proc/sys/kernel/yama/ptrace_scope';

/** Whether suspend, forks and snapshots can be as fast as they are meant to be: the shim reads its VMM's memory, and files get more names. */
export async function checkSavedMemory(home: string): Promise<HostCheck> {
  const scope = Number(
    await readFile(yama, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '0'; // a kernel without Yama forbids nothing
      throw error;
    }),
  );
  // 1: only a parent may, which the shim is. 2: only with CAP_SYS_PTRACE. 3: nobody.
  if (scope >= 3 || (scope === 2 && process.getuid?.() !== 0)) {
    return {
      name,
      status: 'warning',
      message: `kernel.yama.ptrace_scope is ${scope}: nobody may read a VMM's memory to save it`,
      hint: 'Set it to 1 or 0 with sysctl; 3 can only be changed by a reboot.',
    };
  }
  if (!(await takesLinks(home))) {
    return {
      name,
      status: 'warning',
      message: `The file system of ${home} takes no hard links: each saved state is a full copy`,
      hint: 'Put the data directory on ext4, XFS or Btrfs.',
    };
  }
  return { name, status: 'ok', message: 'memory of VMs can be saved and shared' };
}

/** Asked of the directory it will be made in, where it is not there yet. */
async function takesLinks(home: string): Promise<boolean> {
  if (!existsSync(home)) return takesLinks(path.dirname(home));
  const probe = path.join(home, `.link-probe-${process.pid}`);
  try {
    await writeFile(probe, '');
    await link(probe, `${probe}.2`);
    return true;
  } catch (error) {
    if (['EPERM', 'ENOTSUP', 'EOPNOTSUPP'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return false;
    throw error;
  } finally {
    await rm(probe, { force: true });
    await rm(`${probe}.2`, { force: true });
  }
}
