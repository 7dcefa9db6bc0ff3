import type { AskOptions } from './progress.ts';

/** How much there is of something on this host, and how much of it is given out. Bytes, vCPUs, or bytes a second. */
export interface ResourceStatus {
  capacity: number;
  /** `capacity` times `oversubscription`, less what is kept for the host; `capacity` where nothing is limited. */
  effectiveLimit: number;
  allocated: number;
  /** `effectiveLimit` less `allocated`, never under 0. */
  available: number;
  oversubscription: number;
  /** Whether a VM is refused that does not fit. */
  limited: boolean;
  /** `detected`: asked of the host. `configured`: `config.json` or its defaults say so. */
  source: 'detected' | 'configured';
}

export interface MemoryStatus extends ResourceStatus {
  /** `use`: by what VMs really use. `size`: by what they were made with. */
  judgedBy: 'use' | 'size';
  /** Bytes of memory of all VMs that have a VMM. */
  assignedBytes: number;
  /** Proportional set size of all VMMs, bytes; absent where the host can't tell. */
  usedBytes?: number;
  /** What VMs that run are expected to use beyond what they use now. 0 where memory is judged by size. */
  promisedBytes: number;
}

/** What one instance has of the host. One without a VMM has its disk only. */
export interface ResourceAllocation {
  instanceId: string;
  instanceName: string;
  cpus: number;
  memoryBytes: number;
  /** Proportional set size of its VMM; absent where there is none or the host can't tell. */
  usedBytes?: number;
  diskBytes: number;
  /** Limits, bytes a second; 0: none. */
  diskBytesPerSecond: number;
  networkDownload: number;
  networkUpload: number;
}

/** Who keeps limits of CPU, or of memory, that VMs are given on this host. */
export interface LimitKeeper {
  controller: 'cpu' | 'memory';
  /** `none`: nobody, and `why` says why. */
  by: 'cgroup-v1' | 'cgroup-v2' | 'none';
  why?: string;
}

export interface HostResources {
  cpu: ResourceStatus;
  memory: MemoryStatus;
  disk: ResourceStatus;
  /** Bytes a second. */
  network: ResourceStatus;
  /** Bytes a second. */
  diskIo: ResourceStatus;
  /** Of a driver whose VMMs are no processes of this host: none. */
  limitKeepers: LimitKeeper[];
  allocations: ResourceAllocation[];
}

export interface ReclaimOptions {
  /** How many bytes of the host's memory are wanted. */
  bytes: number;
  /** Only say what would be done. Default false. */
  dryRun?: boolean;
  /** For the events that tell of it. */
  reason?: string;
  signal?: AbortSignal;
}

export interface ReclaimAction {
  instanceId: string;
  instanceName: string;
  driver: string;
  assignedBytes: number;
  /** What its VMM used before, bytes. */
  usedBytes: number;
  plannedBytes: number;
  appliedBytes: number;
  /** `planned` in a dry run, `suspended`, `error`, or `unsupported` for one that was left alone: `error` says why. */
  status: 'planned' | 'suspended' | 'error' | 'unsupported';
  error?: string;
}

export interface Reclaimed {
  requestedBytes: number;
  plannedBytes: number;
  appliedBytes: number;
  /** Memory of the host that is available afterwards. */
  hostAvailableBytes: number;
  pressure: 'healthy' | 'pressure';
  actions: ReclaimAction[];
}

/** What this host has, and what VMs have of it. */
export interface Resources {
  get(options?: AskOptions): Promise<HostResources>;
  /**
   * Suspends idle VMs that would be suspended for being idle anyway (`autoStandby`), those that have been idle for longest first, until
   * so much is free. Others are left alone: guests have no balloon.
   *
   * @throws VivError `not_supported` where VMs can't be suspended here at all.
   */
  reclaimMemory(options: ReclaimOptions): Promise<Reclaimed>;
}
