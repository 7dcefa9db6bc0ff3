import { readFile, statfs } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { parseAvailable } from '@vivarium/engine';

export interface HostUse {
  /** Seconds, by mode. */
  cpu: [mode: string, seconds: number][];
  processors: number;
  memoryBytes: number;
  availableBytes: number | undefined;
  disk: { bytes: number; availableBytes: number };
}

/** USER_HZ: a constant of the kernel's ABI on every architecture Linux has. */
const ticks = 100;
const modes = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'] as const;

/** This host, and the file system of the data directory. */
export async function hostUse(home: string): Promise<HostUse> {
  const [stat, meminfo, disk] = await Promise.all([
    readFile('/proc/stat', 'utf8'),
    readFile('/proc/meminfo', 'utf8'),
    statfs(home),
  ]);
  const fields = /^cpu +(.*)$/m.exec(stat)?.[1]?.split(' ') ?? [];
  return {
    cpu: modes.map((mode, index) => [mode, Number(fields[index] ?? 0) / ticks]),
    processors: cpus().length,
    memoryBytes: totalmem(),
    availableBytes: parseAvailable(meminfo),
    disk: { bytes: disk.blocks * disk.bsize, availableBytes: disk.bavail * disk.bsize },
  };
}
