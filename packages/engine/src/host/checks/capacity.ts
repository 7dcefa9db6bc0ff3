import { access, readFile, statfs } from 'node:fs/promises';
import path from 'node:path';
import { formatSize } from '@vivarium/model';
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

/** Bytes that can be had without swapping, out of /proc/meminfo. */
export function parseAvailable(meminfo: string): number | undefined {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
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

/**
 * VMs are not put into cgroups of their own: this says only what a limit around the whole of Vivarium (a container, a
 * systemd unit) would be made of.
 */
export async function checkCgroups(root = '/sys/fs/cgroup'): Promise<HostCheck> {
  const name = 'cgroups';
  const controllers = await readIfThere(path.join(root, 'cgroup.controllers'));
  if (controllers !== undefined) {
    return { name, status: 'ok', message: `cgroup v2 with ${controllers.trim() || 'no controllers'}` };
  }
  const hybrid = await readIfThere(path.join(root, 'unified', 'cgroup.controllers'));
  const kind = hybrid === undefined ? 'cgroup v1 only' : 'a hybrid hierarchy, without usable v2 controllers';
  return { name, status: 'ok', message: `This host has ${kind}; VMs run without limits of the host's` };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
