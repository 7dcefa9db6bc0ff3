import { type InstanceLimits, VivError } from '@vivarium/model';

/** The least of each that makes sense, and the most that the kernel or QEMU take. */
const ranges: Record<keyof InstanceLimits, { least: number; most: number; whole: boolean; hint: string }> = {
  diskBytesPerSecond: { least: 4096, most: 2 ** 50, whole: true, hint: 'At least 4KB/s.' },
  diskRequestsPerSecond: { least: 1, most: 1e9, whole: true, hint: 'At least 1.' },
  networkDownload: { least: 1024, most: 2 ** 50, whole: true, hint: 'At least 1KB/s.' },
  networkUpload: { least: 1024, most: 2 ** 50, whole: true, hint: 'At least 1KB/s.' },
  cpus: { least: 0.01, most: 4096, whole: false, hint: '0.5 is half a CPU; at least 0.01.' },
  cpuWeight: { least: 1, most: 10_000, whole: true, hint: '1 to 10000; 100 is usual.' },
  memoryBytes: { least: 64 * 2 ** 20, most: 2 ** 50, whole: true, hint: 'At least 64MB.' },
};

const limitNames = Object.keys(ranges) as (keyof InstanceLimits)[];

/** @throws VivError `invalid_request`. */
export function checkLimits(limits: InstanceLimits): void {
  for (const name of limitNames) {
    const value = limits[name];
    const { least, most, whole, hint } = ranges[name];
    if (value === undefined || value === 0) continue;
    if (value >= least && value <= most && (!whole || Number.isSafeInteger(value))) continue;
    throw new VivError('invalid_request', `limits: ${name} can not be ${value}`, { hint });
  }
}

/** What is not named stays, 0 lifts. */
export function mergeLimits(
  before: InstanceLimits | undefined,
  more: InstanceLimits,
): InstanceLimits | undefined {
  const all = Object.entries({ ...before, ...more }).filter(
    ([, value]) => value !== undefined && value !== 0,
  );
  return all.length === 0 ? undefined : (Object.fromEntries(all) as InstanceLimits);
}
