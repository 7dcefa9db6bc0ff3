import {
  formatRate,
  formatSize,
  type HostResources,
  type ResourceAllocation,
  type ResourceStatus,
} from '@vivarium/model';
import type { Column } from './table.ts';

interface Row {
  name: string;
  status: ResourceStatus;
  show(amount: number): string;
}

const orNone = (bytes: number): string => (bytes === 0 ? '-' : formatRate(bytes));

export function resourceRows(resources: HostResources): Row[] {
  return [
    { name: 'vCPUs', status: resources.cpu, show: String },
    {
      name: `memory (by ${resources.memory.judgedBy})`,
      status: resources.memory,
      show: formatSize,
    },
    { name: 'root disks', status: resources.disk, show: formatSize },
    { name: 'network', status: resources.network, show: formatRate },
    { name: 'disk I/O', status: resources.diskIo, show: formatRate },
  ];
}

export const resourceColumns: Column<Row>[] = [
  { title: 'RESOURCE', value: ({ name }) => name },
  { title: 'CAPACITY', value: ({ status, show }) => show(status.capacity), align: 'right' },
  {
    title: 'LIMIT',
    value: ({ status, show }) => (status.limited ? show(status.effectiveLimit) : 'none'),
    align: 'right',
  },
  { title: 'GIVEN OUT', value: ({ status, show }) => show(status.allocated), align: 'right' },
  {
    title: 'LEFT',
    value: ({ status, show }) => (status.limited ? show(status.available) : 'any'),
    align: 'right',
  },
];

export const allocationColumns: Column<ResourceAllocation>[] = [
  { title: 'NAME', value: ({ instanceName }) => instanceName },
  { title: 'VCPUS', value: ({ cpus }) => String(cpus), align: 'right' },
  { title: 'MEMORY', value: ({ memoryBytes }) => formatSize(memoryBytes), align: 'right' },
  {
    title: 'IN USE',
    value: ({ usedBytes }) => (usedBytes === undefined ? '-' : formatSize(usedBytes)),
    align: 'right',
  },
  { title: 'DISK', value: ({ diskBytes }) => formatSize(diskBytes), align: 'right' },
  { title: 'DISK I/O', value: ({ diskBytesPerSecond }) => orNone(diskBytesPerSecond), align: 'right' },
  { title: 'DOWN', value: ({ networkDownload }) => orNone(networkDownload), align: 'right' },
  { title: 'UP', value: ({ networkUpload }) => orNone(networkUpload), align: 'right' },
];
