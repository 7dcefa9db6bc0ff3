import type { State } from '@vivarium/lifecycle';
import type { ActionResult, InstanceInfo } from './instance.ts';
import type { AskOptions, CallOptions, MakingOptions, Task } from './progress.ts';
import type { VmSnapshotSchedule } from './schedules.ts';
import type { Vm } from './vivarium.ts';

/** What a copy is brought to. */
export type ForkState = 'running' | 'paused' | 'suspended' | 'stopped';

export interface ForkOptions {
  /** 1 to 1000. Default 1. All of them are the same instant of the source, and no two the same machine. */
  count?: number;
  /** Name of the copy; `%d` is its number, from 1, and is needed where there are several. Default: invented names. */
  name?: string;
  /** Default: the source's own. A copy of a stopped source can only be stopped or started afresh (`running`). */
  state?: ForkState;
  /** Default: the source's. */
  tags?: Record<string, string>;
  autoRemove?: boolean;
  /**
   * Copy a running guest whose agent does not answer: the copies keep host name, address, keys and random numbers of
   * the source. Default false: `identity_unsafe`.
   */
  unsafeIdentity?: boolean;
}

/** A state of an instance that was kept under a name: immutable, and independent of its source. */
export interface SnapshotInfo {
  /** 24 lower-case letters and digits, as a CUID2 has them. */
  id: string;
  /** Unique for its source. */
  name: string;
  instanceId: string;
  /** Of the source as it was then. */
  instanceName: string;
  /** What the source was. With memory: `running`, `paused` and `suspended`. */
  state: ForkState;
  hasMemory: boolean;
  image: InstanceInfo['image'];
  cpus: number;
  memoryBytes: number;
  diskBytes: number;
  /** What its files take on the host, shared ones included. */
  sizeBytes: number;
  /** The snapshot of the same source that it came after: the one taken or restored last before it. */
  parentId?: string;
  /** Absent: none. */
  tags?: Record<string, string>;
  /** RFC 3339. */
  createdAt: string;
  /** It is removed by itself then. RFC 3339. */
  expiresAt?: string;
}

export interface SnapshotOptions {
  /** As instance names; `%d` becomes the lowest free number, from 1. Default `snap%d`. */
  name?: string;
  /** RFC 3339, or a span from now: `1d 3H` (S seconds, M minutes, H hours, d days, w weeks, m months, y years). Default: never. */
  expires?: string;
  /** At most 50. */
  tags?: Record<string, string>;
}

/** The snapshots of one instance. */
export interface VmSnapshots {
  /** By which they are taken by themselves. */
  readonly schedule: VmSnapshotSchedule;
  create(options?: SnapshotOptions & MakingOptions): Task<SnapshotInfo>;
  /** Oldest first. */
  list(options?: AskOptions): Promise<SnapshotInfo[]>;
  /** By name, id or id prefix. @throws VivError `not_found`. */
  get(nameOrId: string, options?: AskOptions): Promise<SnapshotInfo>;
  /** The instance becomes what the snapshot holds: disks, and memory where it has one. It keeps id, name, address and ports. Not while it runs. */
  restore(nameOrId: string, options?: CallOptions): Task<ActionResult>;
  remove(nameOrId: string, options?: AskOptions): Promise<void>;
}

/** All snapshots of a data directory, those of deleted instances among them. */
export interface Snapshots {
  /** Oldest first; of one instance by its id, name or id prefix, of a deleted one by its id. @throws VivError `not_found`. */
  list(options?: AskOptions & { instance?: string }): Promise<SnapshotInfo[]>;
  /** By id or id prefix. @throws VivError `not_found`, `ambiguous`. */
  get(id: string, options?: AskOptions): Promise<SnapshotInfo>;
  fork(id: string, options?: Omit<ForkOptions, 'unsafeIdentity'> & MakingOptions): Task<Vm[]>;
  remove(id: string, options?: AskOptions): Promise<void>;
}

/** Booted memory that starts are made from. */
export interface TemplateInfo {
  /** 16 hex digits: of everything that went into it. */
  id: string;
  /** `kernel`: booted, no root. `image`: the root of an image is mounted. */
  level: 'kernel' | 'image';
  /** Only for `image`. */
  image?: InstanceInfo['image'];
  cpus: number;
  memoryBytes: number;
  /** What its files take on the host. */
  sizeBytes: number;
  /** RFC 3339. */
  createdAt: string;
  usedAt: string;
}

export interface Templates {
  /** Most recently used first. */
  list(options?: AskOptions): Promise<TemplateInfo[]>;
  /** Makes what a start of such an instance would use, where it is not there. Defaults are those of `create`. */
  warm(
    options?: {
      image?: string;
      cpus?: number;
      memory?: number | string;
      disk?: number | string;
    } & CallOptions,
  ): Task<TemplateInfo[]>;
  /** By id or id prefix. VMs that were started from it go on. @throws VivError `not_found`. */
  remove(id: string, options?: AskOptions): Promise<{ freedBytes: number }>;
  /** Removes all of them. */
  clear(options?: AskOptions): Promise<{ freedBytes: number }>;
}

/** States that {@link Vm.fork} may begin in. */
export const forkable: readonly State[] = ['Stopped', 'Running', 'Paused', 'Suspended'];
