import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import type {
  AutoStandbyPolicy,
  Autostart,
  ErrorRecord,
  ExitInfo,
  InstanceLimits,
  LogLimits,
  PublishedPort,
  RestartPolicy,
  TerminalSize,
  WakePolicy,
} from '@vivarium/model';
import type { NicSpec } from '../drivers/driver.ts';
import type { ResolvedHealthCheck } from '../service/health/options.ts';
import type { RestartState } from '../service/restart-rule.ts';
import type { ScheduleRecord } from '../snapshots/schedule.ts';
import type { AttachmentRecord } from '../volumes/record.ts';

/** What was asked for, with every default filled in. Changes by rename, resize, update, start, and what sets limits and standby only. */
export interface InstanceSpec {
  image: { reference: string; digest: string };
  cpus: number;
  memoryBytes: number;
  diskBytes: number;
  env: Record<string, string>;
  /** Entrypoint and Cmd together; empty: a VM without a process of its own. */
  command: string[];
  user: string;
  cwd: string;
  hostname: string;
  tags: Record<string, string>;
  /** `hostPort` 0: any free one. */
  ports: PublishedPort[];
  network: 'user' | 'none';
  tty?: TerminalSize;
  stdin: 'open' | 'null';
  attach: boolean;
  stopSignal?: string;
  stopTimeoutMs: number;
  autoRemove: boolean;
  detached: boolean;
  autoStandby?: AutoStandbyPolicy;
  /** Absent: `standby`. */
  wake?: WakePolicy;
  limits?: InstanceLimits;
  /** The parts of the command; absent in records of before there was a use for them. */
  entrypoint?: string[];
  cmd?: string[];
  /** Absent: never. */
  restartPolicy?: Required<RestartPolicy>;
  /** Absent: none. */
  healthCheck?: ResolvedHealthCheck;
  autostart?: Required<Autostart>;
  logs?: Required<LogLimits>;
}

/** All that is kept of an instance: in the database, and as `record.json` beside its disks. */
export interface InstanceRecord {
  format: 1;
  id: string;
  name: string;
  spec: InstanceSpec;
  /**
   * How far the last operation got: `defined` without disks, `made` with disks and no VMM, `live` when a VMM may be there.
   * It only says where to look: whether a VMM is alive is always observed.
   */
  phase: 'defined' | 'made' | 'live';
  /** 32 hex digits, for the guest's /etc/machine-id. */
  machineId: string;
  generation: number;
  nic?: NicSpec;
  /** As they were bound last; the same ports are preferred at the next start. */
  ports: PublishedPort[];
  /** RFC 3339. */
  createdAt: string;
  startedAt?: string;
  stoppedAt?: string;
  exit?: ExitInfo;
  /** The workloads were frozen before the vCPUs were: whoever lets these run lets those go. Only while Paused. */
  frozen?: boolean;
  /** The memory lies in `saved`. The state is Suspended as long as this is here and there is no VMM. */
  suspended?: {
    /** RFC 3339. */
    at: string;
    was: 'running' | 'paused';
    frozen: boolean;
    /** What belongs to the memory lies below the top of the disk, which is given up where a start fails. */
    layered?: true;
    /** Not a person: it was idle, or its memory was wanted. */
    by?: 'idle' | 'reclaim';
    /** It is another machine's memory: who it is now is told to it as to a copy. */
    copy?: boolean;
  };
  forkedFrom?: { instanceId: string; snapshotId?: string };
  /** A restore in place that has begun: it is done again after a restart. */
  restoring?: { snapshotId: string };
  /** The snapshot that was taken or restored last: the parent of the next one. */
  snapshotId?: string;
  /** By which snapshots of it are taken. */
  snapshotSchedule?: ScheduleRecord;
  /** Latches the state Error. */
  error?: ErrorRecord;
  /** Absent where it has none. */
  volumes?: AttachmentRecord[];
  /** The pool that made it. A copy of an instance has none. */
  pool?: PoolMark;
  /** How far its restart policy has come; `nextAttemptAt` is what is to be done. */
  restart?: RestartState;
  /** When somebody or its policy had it up last, by the clock of policies. RFC 3339. */
  upAt?: string;
  /** RFC 3339. It is deleted then. */
  expiresAt?: string;
  /** Changed since its workload was started. */
  pendingChanges?: ('env' | 'logs')[];
  /**
   * The request with an idempotency key that it was made for; `number`: as which of several copies, `start`: it has yet to be started
   * after it was made.
   */
  request?: { id: string; number?: number; start?: boolean };
}

/** What an instance is to its pool. */
export interface PoolMark {
  /** Of the pool: another one may come to have its name. */
  id: string;
  name: string;
  /** RFC 3339. From then on it is handed to nobody else. */
  acquiredAt?: string;
  /** The request with an idempotency key that acquired it. */
  request?: string;
  /** It was acquired and has ended by itself: another one has been ordered for it, which never happens twice. */
  replaced?: true;
}

const fileName = 'record.json';

const writing = new Map<string, Promise<void>>();

/**
 * Writes beside and renames, so that a reader finds the old record or the new one. Calls for one directory take effect in
 * the order in which they were made: an operation and the watcher of its VMM may both have something to write.
 */
export async function writeRecord(dir: string, record: InstanceRecord): Promise<void> {
  const before = writing.get(dir) ?? Promise.resolve();
  // Whether the one before succeeded is its own caller's concern.
  const mine = before.catch(() => undefined).then(() => writeAlone(dir, record));
  writing.set(dir, mine);
  try {
    await mine;
  } finally {
    if (writing.get(dir) === mine) writing.delete(dir);
  }
}

async function writeAlone(dir: string, record: InstanceRecord): Promise<void> {
  const temporary = path.join(dir, `.${fileName}.${process.pid}`);
  const file = await openIn(dir, temporary);
  try {
    await file.writeFile(`${JSON.stringify(record, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path.join(dir, fileName));
}

/** The directory is there, as a rule. */
async function openIn(dir: string, file: string): Promise<FileHandle> {
  try {
    return await open(file, 'w', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    return open(file, 'w', 0o600);
  }
}

/** Undefined where there is none, or where it is no record of this format. */
export async function readRecord(dir: string): Promise<InstanceRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path.join(dir, fileName), 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  try {
    const record = JSON.parse(text) as InstanceRecord;
    return record.format === 1 && typeof record.id === 'string' && typeof record.name === 'string'
      ? record
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
