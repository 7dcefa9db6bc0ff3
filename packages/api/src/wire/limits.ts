import {
  formatRate,
  type LimitsStatus as Info,
  type InstanceLimits,
  parseRate,
  parseSize,
} from '@vivarium/model';
import type { LimitsInput, LimitsStatus } from '../schemas/limits.ts';
import { present } from './present.ts';

const names = {
  diskBytesPerSecond: 'disk_io_bps',
  diskRequestsPerSecond: 'disk_iops',
  networkDownload: 'bandwidth_download',
  networkUpload: 'bandwidth_upload',
  cpus: 'cpus',
  cpuWeight: 'cpu_weight',
  memoryBytes: 'memory',
} as const satisfies Record<keyof InstanceLimits, string>;

type WireName = (typeof names)[keyof InstanceLimits];

const back = Object.fromEntries(Object.entries(names).map(([ours, wire]) => [wire, ours])) as Record<
  WireName,
  keyof InstanceLimits
>;

/** Where hypeman has its fields, and what we add. */
export interface LimitFields {
  disk_io_bps?: string | number;
  network?: { bandwidth_download?: string | number; bandwidth_upload?: string | number };
  limits?: LimitsInput;
}

/** Undefined where nothing is said. @throws VivError `invalid_size`. */
export function limitsFromWire({ disk_io_bps, network, limits }: LimitFields): InstanceLimits | undefined {
  const rate = (value: string | number | undefined, what: string) =>
    value === undefined || value === '' ? undefined : parseRate(value, what);
  const found = present<InstanceLimits>({
    diskBytesPerSecond: rate(disk_io_bps, 'disk rate'),
    diskRequestsPerSecond: limits?.disk_iops,
    networkDownload: rate(network?.bandwidth_download, 'bandwidth'),
    networkUpload: rate(network?.bandwidth_upload, 'bandwidth'),
    cpus: limits?.cpus,
    cpuWeight: limits?.cpu_weight,
    memoryBytes: limits?.memory === undefined ? undefined : parseSize(limits.memory, 'memory limit'),
  });
  return Object.keys(found).length === 0 ? undefined : found;
}

/** By our own SDK: exact. */
export function limitsToWire(limits: InstanceLimits): LimitFields {
  const { diskBytesPerSecond, networkDownload, networkUpload, memoryBytes } = limits;
  const network = present({ bandwidth_download: networkDownload, bandwidth_upload: networkUpload });
  const more = present<LimitsInput>({
    cpus: limits.cpus,
    cpu_weight: limits.cpuWeight,
    memory: memoryBytes,
    disk_iops: limits.diskRequestsPerSecond,
  });
  return present<LimitFields>({
    disk_io_bps: diskBytesPerSecond,
    network: Object.keys(network).length === 0 ? undefined : network,
    limits: Object.keys(more).length === 0 ? undefined : more,
  });
}

/** For people, as hypeman answers them; `asked` has them exactly. */
export const rateToWire = (bytes: number | undefined): string | undefined =>
  bytes === undefined ? undefined : formatRate(bytes);

export function askedToWire(limits: InstanceLimits): LimitsStatus['asked'] {
  return (Object.entries(limits) as [keyof InstanceLimits, number][]).map(([limit, value]) => ({
    limit: names[limit],
    value,
  }));
}

export function askedFromWire(asked: LimitsStatus['asked']): InstanceLimits {
  return Object.fromEntries(asked.map(({ limit, value }) => [back[limit as WireName], value]));
}

export function limitsStatusToWire({ asked, effects }: Info): LimitsStatus {
  return {
    asked: askedToWire(asked),
    effects: effects.map(({ limit, ...rest }) => ({ ...rest, limit: names[limit] })),
  };
}

export function limitsStatusFromWire(wire: LimitsStatus): Info {
  return {
    asked: askedFromWire(wire.asked),
    effects: wire.effects.map(
      ({ limit, ...rest }) => ({ ...rest, limit: back[limit as WireName] }) as Info['effects'][number],
    ),
  };
}
