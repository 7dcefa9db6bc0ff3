import { access, readFile, statfs } from 'node:fs/promises';
import path from 'node:path';
import { formatSize } from '@vivarium/model';
import { parseAvailable } from '../../resources/gauge.ts';
import { Cgroups } from '../cgroups/index.ts';
import type { HostCheck } from '../doctor.ts';

/** An image, its root disk and some logs fit into it. */
const littleDiskBytes = 2 * 2 ** 30;
/** Under this not even one VM of the default size starts without hurting the host. */
const littleMemoryBytes = 512 * 2 ** 20;

export async function checkDiskSpace(home: string): Promise<HostCheck> {
  const { bavail, bsize } = await statfs(await nearestExisting(home));
  const free = bavail * bsize;
  const message = `${formatSize(free)} free for ${home}`;
  if (free >= littleDiskBytes) return { name: 'disk space', status: 'ok', message };
  return {
    name: 'disk space',
    status: 'warning',
    message,
    hint: 'Free some space, or set VIV_HOME to a larger file system.',
  };
}

async function nearestExisting(dir: string): Promise<string> {
  try {
    await access(dir);
    return dir;
  } catch (error) {
    const parent = path.dirname(dir);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === dir) throw error;
    return nearestExisting(parent);
  }
}

export async function checkMemory(): Promise<HostCheck> {
  const available = parseAvailable(await readFile('/proc/meminfo', 'utf8'));
  if (available === undefined) {
    return {
      name: 'memory',
      status: 'warning',
      message: 'The kernel does not say how much memory is available',
    };
  }
  const message = `${formatSize(available)} available`;
  if (available >= littleMemoryBytes) return { name: 'memory', status: 'ok', message };
  return { name: 'memory', status: 'warning', message, hint: 'Stop something, or give VMs less memory.' };
}

/** Who keeps limits of CPU and memory that are asked for VMs. Disks and published ports have throttles of our own. */
export async function checkCgroups(cgroups = new Cgroups()): Promise<HostCheck> {
  const name = 'cgroups';
  const survey = await cgroups.survey();
  const message = survey
    .map(
      ({ controller, by, why }) =>
        `${controller} limits ${by === 'none' ? `are not kept: ${why}` : `by ${by}`}`,
    )
    .join('; ');
  if (survey.every(({ by }) => by !== 'none')) return { name, status: 'ok', message };
  return {
    name,
    status: 'warning',
    message,
    hint: 'VMs run all the same. Under systemd: a unit with `Delegate=yes` and `DelegateSubgroup=daemon`.',
  };
}
