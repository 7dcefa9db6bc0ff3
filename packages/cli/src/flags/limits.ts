import { type InstanceLimits, parseRate, parseSize, VivError } from '@vivarium/model';
import type { Command } from 'commander';
import { parseCount } from './values.ts';

/** What commander makes of the options that limit a VM. */
export interface LimitFlags {
  diskRate?: string;
  diskIops?: string;
  down?: string;
  up?: string;
  cpuLimit?: string;
  cpuWeight?: string;
  memoryLimit?: string;
}

/** Declares them. */
export function limitOptions(command: Command): Command {
  return command
    .option('--disk-rate <rate>', 'bytes a second of its disks, as in 50MB/s')
    .option('--disk-iops <n>', 'requests a second of its disks')
    .option('--down <rate>', 'bytes a second to the VM through published ports, as in 10MB/s or 100Mbps')
    .option('--up <rate>', 'and from it')
    .option('--cpu-limit <cpus>', 'CPUs of this host that it may use, as in 0.5')
    .option('--cpu-weight <n>', 'its part where the host is busy: 1 to 10000 (usual: 100)')
    .option('--memory-limit <size>', 'memory of this host that its VMM may use');
}

/** Only what was said; undefined where nothing was. */
export function parseLimits(flags: LimitFlags): InstanceLimits | undefined {
  const limits: InstanceLimits = {};
  if (flags.diskRate !== undefined) limits.diskBytesPerSecond = parseRate(flags.diskRate, 'disk rate');
  if (flags.diskIops !== undefined)
    limits.diskRequestsPerSecond = parseCount(flags.diskIops, '--disk-iops', 0);
  if (flags.down !== undefined) limits.networkDownload = parseRate(flags.down, 'rate');
  if (flags.up !== undefined) limits.networkUpload = parseRate(flags.up, 'rate');
  if (flags.cpuLimit !== undefined) limits.cpus = parseCpus(flags.cpuLimit);
  if (flags.cpuWeight !== undefined) limits.cpuWeight = parseCount(flags.cpuWeight, '--cpu-weight', 0);
  if (flags.memoryLimit !== undefined) limits.memoryBytes = parseSize(flags.memoryLimit, 'memory limit');
  return Object.keys(limits).length === 0 ? undefined : limits;
}

function parseCpus(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new VivError('invalid_request', `--cpu-limit: ${JSON.stringify(text)} is not a number of CPUs.`);
}
