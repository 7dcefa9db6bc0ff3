import Type, { type Static } from 'typebox';
import { Nullable, StringMap, Time } from './basic.ts';

/** hypeman's image; the fields from `references` on are ours, and absent until it is ready. */
export const Image = Type.Object(
  {
    name: Type.String({ description: 'Normalised reference, or the digest where it has none.' }),
    digest: Type.String(),
    status: Type.Enum(['pending', 'pulling', 'converting', 'ready', 'failed']),
    error: Nullable(Type.String()),
    queue_position: Nullable(Type.Integer()),
    created_at: Time,
    size_bytes: Nullable(Type.Integer()),
    platform: Type.Optional(Type.String()),
    cmd: Type.Optional(Nullable(Type.Array(Type.String()))),
    entrypoint: Type.Optional(Nullable(Type.Array(Type.String()))),
    env: Type.Optional(StringMap),
    working_dir: Type.Optional(Nullable(Type.String())),
    tags: Type.Optional(StringMap),

    references: Type.Optional(Type.Array(Type.String())),
    user: Type.Optional(Type.String()),
    stop_signal: Type.Optional(Type.String()),
    exposed_ports: Type.Optional(Type.Array(Type.String())),
    labels: Type.Optional(StringMap),
    architecture: Type.Optional(Type.String()),
    layers: Type.Optional(Type.Array(Type.Object({ digest: Type.String(), size_bytes: Type.Integer() }))),
    built_at: Type.Optional(Time),
    used_by: Type.Optional(Type.Array(Type.String())),
  },
  { $id: 'Image' },
);
export type Image = Static<typeof Image>;

export const CreateImage = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    platform: Type.Optional(
      Type.Unknown({ description: 'Other than the host’s: answered with not_supported.' }),
    ),
    credentials: Type.Optional(
      Type.Unknown({ description: 'Answered with not_supported; use ~/.docker/config.json.' }),
    ),
    tags: Type.Optional({ ...StringMap, description: 'At most 50; they replace those of the image.' }),
    insecure: Type.Optional(
      Type.Boolean({ description: 'Speak to the registry without TLS. Default false.' }),
    ),
  },
  { $id: 'CreateImage' },
);

export const TagImage = Type.Object({ target: Type.String({ minLength: 1 }) });
