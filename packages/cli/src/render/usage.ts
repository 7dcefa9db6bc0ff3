import { formatSize, type InstanceInfo, type InstanceStats } from '@vivarium/model';
import type { Column } from './table.ts';

/** One instance's use, and the sample before it where there is one: rates need two. */
export interface Usage {
  readonly info: InstanceInfo;
  readonly now: InstanceStats;
  readonly before?: InstanceStats;
}

/** Use of one vCPU between the two samples: 100 % is one vCPU busy. Undefined with one sample, or two at the same time. */
export function cpuPercent({ now, before }: Usage): number | undefined {
  if (before === undefined) return undefined;
  const nanos = (Date.parse(now.at) - Date.parse(before.at)) * 1e6;
  // A restarted guest counts from 0 again; its first sample then says nothing.
  if (nanos <= 0 || now.cpuNanos < before.cpuNanos) return undefined;
  return ((now.cpuNanos - before.cpuNanos) / nanos) * 100;
}

const pair = (a: number, b: number) => `${formatSize(a)} / ${formatSize(b)}`;

export const usageColumns: readonly Column<Usage>[] = [
  { title: 'NAME', value: ({ info }) => info.name, shrinks: true },
  {
    title: 'CPU %',
    align: 'right',
    value: (usage) => cpuPercent(usage)?.toFixed(1) ?? '-',
  },
  { title: 'MEM USED / TOTAL', value: ({ now }) => pair(now.memory.usedBytes, now.memory.totalBytes) },
  { title: 'DISK USED / TOTAL', value: ({ now }) => pair(now.disk.usedBytes, now.disk.totalBytes) },
  { title: 'DISK IN / OUT', value: ({ now }) => pair(now.disk.readBytes, now.disk.writtenBytes) },
  { title: 'NET IN / OUT', value: ({ now }) => pair(now.network.receivedBytes, now.network.sentBytes) },
  { title: 'PROCS', align: 'right', value: ({ now }) => String(now.processes) },
  {
    title: 'HOST MEM',
    align: 'right',
    value: ({ now }) => (now.vmm === undefined ? '-' : formatSize(now.vmm.residentBytes)),
  },
];
