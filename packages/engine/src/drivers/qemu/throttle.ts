import type { MachineLimits } from '../driver.ts';
import type { ShimClient } from './shim-client.ts';

type Execute = (command: string, args?: object) => Promise<unknown>;

/** All disks of a machine share one budget. */
const group = 'limit';

/** QEMU's own throttles on every disk, the shim's on published ports. 0 lifts. */
export async function throttle(execute: Execute, shim: ShimClient, limits: MachineLimits): Promise<void> {
  await throttleDisks(execute, limits);
  await shim.request('ports_limit', { download: limits.networkDownload, upload: limits.networkUpload });
}

/** A disk that comes later has no throttle until it is given one. */
export async function throttleDisks(execute: Execute, limits: MachineLimits): Promise<void> {
  const disks = (await execute('query-block')) as {
    qdev?: string;
    inserted?: { bps: number; iops: number };
  }[];
  for (const { qdev, inserted } of disks) {
    if (qdev === undefined || inserted === undefined) continue;
    if (inserted.bps === limits.diskBytesPerSecond && inserted.iops === limits.diskRequestsPerSecond)
      continue;
    await execute('block_set_io_throttle', {
      id: qdev,
      group,
      bps: limits.diskBytesPerSecond,
      bps_rd: 0,
      bps_wr: 0,
      iops: limits.diskRequestsPerSecond,
      iops_rd: 0,
      iops_wr: 0,
    });
  }
}
