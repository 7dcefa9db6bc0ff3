import Type, { type Static } from 'typebox';
import { Nullable, Size, StringMap, Time } from './basic.ts';
import { CopyState, target_hypervisor } from './copies.ts';
import { later } from './instance.ts';

/** hypeman's word for whether there is memory in a snapshot. */
export const SnapshotKind = Type.Enum(['Standby', 'Stopped'], {
  description: 'Standby: with memory. Stopped: the disk only.',
});
export type SnapshotKind = Static<typeof SnapshotKind>;

/** hypeman's snapshot; the fields from `source_state` on are ours. */
export const Snapshot = Type.Object(
  {
    id: Type.String({ description: 'CUID2.' }),
    name: Type.String({ description: 'Unique for its source.' }),
    kind: SnapshotKind,
    source_instance_id: Type.String(),
    source_instance_name: Type.String({ description: 'As it was then.' }),
    source_hypervisor: Type.String(),
    size_bytes: Type.Integer({ description: 'What its files take on the host, shared ones included.' }),
    compression_state: Type.Literal('none'),
    compressed_size_bytes: Nullable(Type.Integer()),
    uncompressed_size_bytes: Nullable(Type.Integer({ description: 'As size_bytes: nothing is compressed.' })),
    tags: StringMap,
    created_at: Time,

    source_state: CopyState,
    image: Type.String(),
    image_digest: Type.String(),
    vcpus: Type.Integer(),
    size: Size,
    memory_bytes: Type.Integer(),
    disk_bytes: Type.Integer(),
    parent_id: Type.Optional(Type.String({ description: 'The snapshot of the same source before it.' })),
    expires_at: Type.Optional(Time),
  },
  { $id: 'Snapshot' },
);
export type Snapshot = Static<typeof Snapshot>;

export const CreateSnapshot = Type.Object(
  {
    kind: Type.Optional(SnapshotKind),
    name: Type.Optional(Type.String({ description: '%d is the lowest free number. Default snap%d.' })),
    tags: Type.Optional({ ...StringMap, description: 'At most 50.' }),
    compression: later('Compression of a snapshot'),
    expires: Type.Optional(
      Type.String({
        description:
          'RFC 3339, or a span from now as in 1d 3H: S seconds, M minutes, H hours, d days, w weeks, m months, y years. Default: never.',
      }),
    ),
  },
  { $id: 'CreateSnapshot' },
);
export type CreateSnapshot = Static<typeof CreateSnapshot>;

export const RestoreSnapshot = Type.Object(
  {
    target_state: Type.Optional(
      Type.Enum(['Running', 'Standby', 'Stopped'], {
        description: 'Default: Running for a snapshot with memory, Stopped for one without.',
      }),
    ),
    target_hypervisor,
    start: Type.Optional(
      Type.Boolean({ description: 'False: leave it as the snapshot holds it. Default true.' }),
    ),
  },
  { $id: 'RestoreSnapshot' },
);
export type RestoreSnapshot = Static<typeof RestoreSnapshot>;
