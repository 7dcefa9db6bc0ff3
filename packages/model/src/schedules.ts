import type { ErrorRecord } from './errors.ts';
import type { AskOptions } from './progress.ts';

/** Which snapshots of a schedule stay; at least one of the two. The newest one always does. */
export interface SnapshotRetention {
  /** At most so many, the newest. */
  maxCount?: number;
  /** None older than so many milliseconds. */
  maxAgeMs?: number;
}

/** Snapshots that are taken by themselves. */
export interface SnapshotScheduleOptions {
  /** Milliseconds from one to the next, at least 60,000. */
  intervalMs: number;
  /** Each is taken up to so many milliseconds late, at random; at most the interval. Default 0. */
  jitterMs?: number;
  /** Of their names, before the time; at most 40 characters. Default `auto`. */
  namePrefix?: string;
  /** Of each snapshot. At most 50. */
  tags?: Record<string, string>;
  retention: SnapshotRetention;
}

export interface SnapshotScheduleInfo extends SnapshotScheduleOptions {
  instanceId: string;
  /** RFC 3339 times. */
  createdAt: string;
  updatedAt: string;
  nextRunAt: string;
  /** When it was tried last. */
  lastRunAt?: string;
  /** The newest of its snapshots. */
  lastSnapshotId?: string;
  /** Why the last try came to nothing, or left old ones behind; gone with the next that doesn't. */
  lastError?: ErrorRecord;
}

/** The schedule of one instance. It goes with the instance; the snapshots stay. */
export interface VmSnapshotSchedule {
  get(options?: AskOptions): Promise<SnapshotScheduleInfo | undefined>;
  /** Makes it or replaces it; the next one is taken an interval from now. Only its own snapshots are ever removed by it. */
  set(options: SnapshotScheduleOptions, call?: AskOptions): Promise<SnapshotScheduleInfo>;
  /** Its snapshots stay. @throws VivError `not_found` where there is none. */
  remove(options?: AskOptions): Promise<void>;
}
