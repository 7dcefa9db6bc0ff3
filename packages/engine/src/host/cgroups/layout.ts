import { access, constants, readFile } from 'node:fs/promises';
import path from 'node:path';

type CgroupVersion = 'cgroup-v1' | 'cgroup-v2';

/** Where the host mounts its cgroups, and which are this process's own; tests have a tree of their own. */
export interface CgroupTree {
  /** Default `/sys/fs/cgroup`. */
  root: string;
  /** Default `/proc/self/cgroup`. */
  own: string;
}

export const hostTree: CgroupTree = { root: '/sys/fs/cgroup', own: '/proc/self/cgroup' };

/** Where groups for VMs can be made for one controller: below the group of this process, so that what limits us limits them. */
export interface Place {
  version: CgroupVersion;
  dir: string;
}

/** What stands in the way, in the words of a person. */
interface Nowhere {
  why: string;
}

export type Controller = 'cpu' | 'memory';

/** Of each controller. Asks anew: a host may be reconfigured while the daemon runs. */
export async function findPlace(tree: CgroupTree, controller: Controller): Promise<Place | Nowhere> {
  const groups = parseOwn((await readIfThere(tree.own)) ?? '');
  const v2 = groups.get('');
  const unified = await readIfThere(path.join(tree.root, 'cgroup.controllers'));
  if (unified !== undefined && v2 !== undefined) return placeV2(tree.root, v2, controller, unified);
  const v1 = groups.get(controller);
  if (v1 === undefined) return { why: `this host has no ${controller} cgroup` };
  const dir = path.join(tree.root, controller, v1);
  return (await writable(dir)) ? { version: 'cgroup-v1', dir } : { why: `${dir} is not ours to write to` };
}

/** `9:cpu,cpuacct:/a` -> cpu: /a, cpuacct: /a; `0::/b` -> '': /b. */
export function parseOwn(text: string): Map<string, string> {
  const groups = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, names, group] = /^\d+:([^:]*):(.+)$/.exec(line) ?? [];
    if (names === undefined || group === undefined) continue;
    for (const name of names.split(',')) groups.set(name, group);
  }
  return groups;
}

/** A group that systemd has for one service, or for what somebody else has started. What lies below is whose unit it is. */
const unit = /\.(?:service|scope)$/;

/**
 * Ours is what lies below our own group. One that has processes can't give controllers to groups below it: a unit with `Delegate=` and
 * `DelegateSubgroup=` has the daemon in a group below its own, and that one's parent, the unit, is ours as well. Any other parent is
 * somebody else's, also where we could write to it.
 */
async function placeV2(
  root: string,
  own: string,
  controller: Controller,
  available: string,
): Promise<Place | Nowhere> {
  if (!available.split(/\s+/).includes(controller))
    return { why: `the ${controller} controller of cgroup v2 is not available` };
  const parent = path.posix.dirname(own);
  for (const group of [own, ...(unit.test(parent) && !unit.test(own) ? [parent] : [])]) {
    const dir = path.join(root, group);
    const given = (await readIfThere(path.join(dir, 'cgroup.subtree_control'))) ?? '';
    if (given.split(/\s+/).includes(controller) && (await writable(dir)))
      return { version: 'cgroup-v2', dir };
  }
  return {
    why: `vivd's cgroup (${own}) was not delegated to it, with the ${controller} controller for groups below it`,
  };
}

/** Undefined where there is no such file, or it is not ours to read. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  }
}

async function writable(dir: string): Promise<boolean> {
  try {
    await access(dir, constants.W_OK);
    return true;
  } catch (error) {
    if (['ENOENT', 'EACCES', 'EROFS', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return false;
    throw error;
  }
}
