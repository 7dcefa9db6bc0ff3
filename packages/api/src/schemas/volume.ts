import Type, { type Static } from 'typebox';
import { SizeInput, StringMap, Time } from './basic.ts';

const Mode = Type.Enum(['rw', 'ro', 'overlay']);

const mount = {
  volume_id: Type.String({ minLength: 1, description: 'Id, name or id prefix.' }),
  mount_path: Type.String({ description: 'Absolute, and no system directory.' }),
};

/** hypeman's way to say how an instance has a volume. */
const manner = {
  readonly: Type.Optional(Type.Boolean({ description: 'Default false; true for a snapshot.' })),
  overlay: Type.Optional(
    Type.Boolean({ description: 'A private layer above a volume that others read. Default false.' }),
  ),
  overlay_size: Type.Optional({
    ...SizeInput,
    description: 'Checked, and not a limit of its own: the private layer lies on the instance’s disk.',
  }),
};

/** A volume that an instance is to have. */
export const VolumeMountInput = Type.Object({ ...mount, ...manner });
export type VolumeMountInput = Static<typeof VolumeMountInput>;

/** A volume that an instance has. */
export const VolumeMount = Type.Object({
  ...mount,
  readonly: Type.Boolean(),
  overlay: Type.Boolean(),
});

/** hypeman's volume; the fields from `size_bytes` on are ours. */
export const Volume = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    size_gb: Type.Number({ description: 'Of 2^30 bytes; not always whole.' }),
    attachments: Type.Array(
      Type.Object({
        instance_id: Type.String(),
        mount_path: Type.String(),
        readonly: Type.Boolean(),
        instance_name: Type.String(),
        mode: Mode,
      }),
    ),
    tags: StringMap,
    created_at: Time,

    size_bytes: Type.Integer(),
    used_bytes: Type.Integer({ description: 'What its files take on the host, shared ones included.' }),
    read_only: Type.Boolean({ description: 'It is a snapshot.' }),
    source_id: Type.Optional(Type.String({ description: 'What it is a clone or a snapshot of.' })),
  },
  { $id: 'Volume' },
);
export type Volume = Static<typeof Volume>;

const size = {
  size_gb: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'Of 2^30 bytes.' })),
  size_bytes: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Instead of size_gb, over which it wins.' }),
  ),
};

export const CreateVolume = Type.Object(
  {
    name: Type.Optional(Type.String({ description: 'Default: two words and a number.' })),
    ...size,
    id: Type.Optional(Type.String({ description: 'Default: a CUID2.' })),
    tags: Type.Optional(StringMap),
  },
  { $id: 'CreateVolume' },
);
export type CreateVolume = Static<typeof CreateVolume>;

export const ResizeVolume = Type.Object(size, { $id: 'ResizeVolume' });
export type ResizeVolume = Static<typeof ResizeVolume>;

export const CopyVolume = Type.Object(
  {
    name: Type.Optional(Type.String({ description: 'Default: two words and a number.' })),
    tags: Type.Optional({ ...StringMap, description: 'Default: the source’s.' }),
  },
  { $id: 'CopyVolume' },
);
export type CopyVolume = Static<typeof CopyVolume>;

export const AttachVolume = Type.Object({ mount_path: mount.mount_path, ...manner }, { $id: 'AttachVolume' });
export type AttachVolume = Static<typeof AttachVolume>;
