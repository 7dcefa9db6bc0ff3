import Type, { type Static } from 'typebox';
import { SizeInput } from './basic.ts';

/** As hypeman has rates: `100MB/s`, `1Gbps`; bytes a second are taken too. */
export const RateInput = Type.Union([Type.String(), Type.Integer({ minimum: 0 })], {
  description: 'Bytes a second, or a number with a unit: 100MB/s, 1Gbps. 0: no limit, or an automatic one.',
});

/** What hypeman has no field for. */
export const LimitsInput = Type.Object(
  {
    cpus: Type.Optional(Type.Number({ minimum: 0, description: 'Host CPUs its VMM may use; 0: any.' })),
    cpu_weight: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000, description: '100 is usual.' })),
    memory: Type.Optional(SizeInput),
    disk_iops: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Requests a second of all its disks.' }),
    ),
  },
  { $id: 'LimitsInput' },
);
export type LimitsInput = Static<typeof LimitsInput>;

const name = Type.Enum([
  'disk_io_bps',
  'disk_iops',
  'bandwidth_download',
  'bandwidth_upload',
  'cpus',
  'cpu_weight',
  'memory',
]);

export const LimitsStatus = Type.Object(
  {
    asked: Type.Array(Type.Object({ limit: name, value: Type.Number() })),
    effects: Type.Array(
      Type.Object({
        limit: name,
        value: Type.Number({ description: 'Bytes, bytes a second, or a number.' }),
        automatic: Type.Boolean(),
        by: Type.Enum(['vmm', 'shim', 'cgroup-v1', 'cgroup-v2', 'none']),
        why: Type.Optional(Type.String()),
      }),
    ),
  },
  { $id: 'LimitsStatus' },
);
export type LimitsStatus = Static<typeof LimitsStatus>;
