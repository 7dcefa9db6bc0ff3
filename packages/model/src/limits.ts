import type { AskOptions } from './progress.ts';

/** What an instance may use at most. Absent or 0: no limit, or an automatic one where the configuration says so (rates only). */
export interface InstanceLimits {
  /** Bytes a second of all its disks, read and written together. */
  diskBytesPerSecond?: number;
  /** Requests a second of all its disks. */
  diskRequestsPerSecond?: number;
  /** Bytes a second to the guest. */
  networkDownload?: number;
  /** Bytes a second from the guest. */
  networkUpload?: number;
  /** Host CPUs its VMM may use: 0.5 is half of one. */
  cpus?: number;
  /** Its part against other VMs with a weight where the host is busy: 1 to 10000, 100 is usual. */
  cpuWeight?: number;
  /** Bytes of the host's memory its VMM may use. Needs room for QEMU itself beside the guest's memory. */
  memoryBytes?: number;
}

/** A limit and whether it is kept. */
export interface LimitEffect {
  limit: keyof InstanceLimits;
  value: number;
  /** Nobody has asked for it: it is the instance's part of what the host has. */
  automatic: boolean;
  /** Who keeps it: the VMM's throttle, the shim (of published ports), a cgroup. `none`: nobody, and `why` says why. */
  by: 'vmm' | 'shim' | 'cgroup-v1' | 'cgroup-v2' | 'none';
  why?: string;
}

export interface LimitsStatus {
  asked: InstanceLimits;
  /** Of an instance without a VMM: none. */
  effects: LimitEffect[];
}

/** Limits of one instance. */
export interface VmLimits {
  get(options?: AskOptions): Promise<LimitsStatus>;
  /**
   * Takes effect at once where it runs. What is not named stays; 0 lifts a limit.
   *
   * @throws VivError `invalid_request`, `insufficient_resources` where a rate does not fit, `busy`.
   */
  set(limits: InstanceLimits, options?: AskOptions): Promise<LimitsStatus>;
}
