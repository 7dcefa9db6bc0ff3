import { existsSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { LimitKeeper } from '@vivarium/model';
import { type CgroupTree, type Controller, findPlace, hostTree, type Place, readIfThere } from './layout.ts';

/** What a VMM may use of the host; absent: as much as it likes. */
export interface GroupLimits {
  cpus?: number;
  cpuWeight?: number;
  memoryBytes?: number;
}

/** Whether a limit is kept, and by what. */
export interface GroupEffect {
  limit: keyof GroupLimits;
  by: Place['version'] | 'none';
  why?: string;
}

/** Microseconds: the kernel's usual period. */
const period = 100_000;

/** What is written where, of each limit; `undefined` lifts it. cgroup v1's shares are v2's weights times 1024 / 100. */
const files: {
  limit: keyof GroupLimits;
  controller: Controller;
  v1(value: number | undefined): [file: string, text: string];
  v2(value: number | undefined): [file: string, text: string];
}[] = [
  {
    limit: 'cpus',
    controller: 'cpu',
    v1: (cpus) => ['cpu.cfs_quota_us', cpus === undefined ? '-1' : String(quota(cpus))],
    v2: (cpus) => ['cpu.max', `${cpus === undefined ? 'max' : quota(cpus)} ${period}`],
  },
  {
    limit: 'cpuWeight',
    controller: 'cpu',
    v1: (weight = 100) => ['cpu.shares', String(Math.max(2, Math.round((weight * 1024) / 100)))],
    v2: (weight = 100) => ['cpu.weight', String(weight)],
  },
  {
    limit: 'memoryBytes',
    controller: 'memory',
    v1: (bytes) => ['memory.limit_in_bytes', bytes === undefined ? '-1' : String(bytes)],
    v2: (bytes) => ['memory.max', bytes === undefined ? 'max' : String(bytes)],
  },
];

/** The least the kernel takes is a millisecond of each period. */
const quota = (cpus: number): number => Math.max(1000, Math.round(cpus * period));

/** A cgroup for each VMM that has limits, below this process's own. */
export class Cgroups {
  readonly #tree: CgroupTree;

  constructor(tree: CgroupTree = hostTree) {
    this.#tree = tree;
  }

  /**
   * Puts a process with all its threads under these limits. What can't be kept is told, and does not stand in the way of the rest. A
   * process that has limits already, and loses them, stays in a group without any.
   */
  async apply(
    name: string,
    pid: number,
    limits: GroupLimits,
    before: GroupLimits = {},
  ): Promise<GroupEffect[]> {
    const effects: GroupEffect[] = [];
    for (const { limit, controller, v1, v2 } of files) {
      const value = limits[limit];
      if (value === undefined && before[limit] === undefined) continue;
      const place = await findPlace(this.#tree, controller);
      if ('why' in place) {
        if (value !== undefined) effects.push({ limit, by: 'none', why: place.why });
        continue;
      }
      const dir = path.join(place.dir, groupName(name));
      // Nothing to lift.
      if (value === undefined && !existsSync(dir)) continue;
      const [file, text] = (place.version === 'cgroup-v1' ? v1 : v2)(value);
      const why = await put(dir, pid, file, text);
      if (value === undefined && why === undefined) continue;
      effects.push(why === undefined ? { limit, by: place.version } : { limit, by: 'none', why });
    }
    return effects;
  }

  /** Whether the kernel has ended a process of the group because all of them together had reached the limit of their memory. */
  async ranOutOfMemory(name: string): Promise<boolean> {
    const place = await findPlace(this.#tree, 'memory');
    if ('why' in place) return false;
    const file = place.version === 'cgroup-v1' ? 'memory.oom_control' : 'memory.events';
    const told = await readIfThere(path.join(place.dir, groupName(name), file));
    return Number(/^oom_kill (\d+)$/m.exec(told ?? '')?.[1] ?? 0) > 0;
  }

  /** After the end of its process. A group that is not there, or not empty yet, is nobody's loss. */
  async remove(name: string): Promise<void> {
    for (const controller of ['cpu', 'memory'] as const) {
      const place = await findPlace(this.#tree, controller);
      if ('why' in place) continue;
      await rmdir(path.join(place.dir, groupName(name))).catch((error: NodeJS.ErrnoException) => {
        if (!['ENOENT', 'EBUSY', 'ENOTEMPTY'].includes(error.code ?? '')) throw error;
      });
    }
  }

  /** For doctor and resources: of each controller, who would keep a limit, or why nobody would. */
  async survey(): Promise<LimitKeeper[]> {
    return Promise.all(
      (['cpu', 'memory'] as const).map(async (controller) => {
        const place = await findPlace(this.#tree, controller);
        return 'why' in place
          ? { controller, by: 'none' as const, why: place.why }
          : { controller, by: place.version };
      }),
    );
  }
}

const groupName = (instanceId: string): string => `vivarium-${instanceId}`;

/** Why it could not be done; undefined where it was. */
async function put(dir: string, pid: number, file: string, text: string): Promise<string | undefined> {
  try {
    await mkdir(dir, { recursive: true });
    await writeFile(path.join(dir, file), text);
    await writeFile(path.join(dir, 'cgroup.procs'), String(pid));
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return message;
  }
}
