import { readFileSync } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { readStat, statFields } from '../host/identity.ts';

/** What the host says of itself and of its VMMs; tests have their own. */
export interface HostGauge {
  readonly cpus: number;
  /** Bytes. */
  readonly memoryBytes: number;
  /** Bytes that can be had now without swapping. Asked before each start, so it has to cost next to nothing. */
  availableBytes(): number;
  /** Memory of one VMM; undefined where it has ended or the host can't tell. Takes a millisecond or two. */
  use(pid: number): Promise<MemoryUse | undefined>;
  /** CPU time of a process so far, nanoseconds; undefined where it has ended. */
  cpuNanos(pid: number): Promise<number | undefined>;
  /** Size of the file system of a directory, bytes. */
  diskBytes(dir: string): Promise<number>;
}

export interface MemoryUse {
  /** Proportional set size: pages that several share count in part. */
  pssBytes: number;
  /** What only it has and no file does: what the host can't take back. */
  ownBytes: number;
}

/** USER_HZ: a constant of the kernel's ABI on every architecture Linux has. */
const nanosPerTick = 10_000_000;

const field = (text: string, name: string): number => {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
  return kib === undefined ? Number.NaN : Number(kib) * 1024;
};

/** Bytes that can be had without swapping, out of /proc/meminfo. @internal */
export function parseAvailable(meminfo: string): number | undefined {
  const bytes = field(meminfo, 'MemAvailable');
  return Number.isNaN(bytes) ? undefined : bytes;
}

/** Out of /proc/PID/smaps_rollup. Kernels before 5.4 don't split the proportional size. */
export function parseUse(rollup: string): MemoryUse | undefined {
  const pssBytes = field(rollup, 'Pss');
  const anonymous = field(rollup, 'Pss_Anon');
  const ownBytes = Number.isNaN(anonymous) ? field(rollup, 'Private_Dirty') : anonymous;
  return Number.isNaN(pssBytes) || Number.isNaN(ownBytes) ? undefined : { pssBytes, ownBytes };
}

/** This host. */
export const procGauge: HostGauge = {
  cpus: availableParallelism(),
  memoryBytes: totalmem(),
  availableBytes() {
    return parseAvailable(readFileSync('/proc/meminfo', 'utf8')) ?? totalmem();
  },
  async use(pid) {
    try {
      return parseUse(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'));
    } catch (error) {
      // It has ended, or is another user's.
      if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? ''))
        return undefined;
      throw error;
    }
  },
  async cpuNanos(pid) {
    const stat = await readStat(pid);
    if (stat === undefined) return undefined;
    const fields = statFields(stat);
    return (Number(fields[11]) + Number(fields[12])) * nanosPerTick;
  },
  async diskBytes(dir) {
    const { blocks, bsize } = await statfs(dir);
    return blocks * bsize;
  },
};

/** Of VMs that use nothing: there is always as much left as anybody asks for. */
export const boundlessGauge: HostGauge = {
  cpus: availableParallelism(),
  memoryBytes: totalmem(),
  availableBytes: () => 2 ** 52,
  use: async () => undefined,
  cpuNanos: async () => undefined,
  diskBytes: procGauge.diskBytes,
};
