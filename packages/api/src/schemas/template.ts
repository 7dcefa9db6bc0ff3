import Type, { type Static } from 'typebox';
import { Size, SizeInput, Time } from './basic.ts';

export const Template = Type.Object(
  {
    id: Type.String({ description: '16 hexadecimal digits: of everything that went into it.' }),
    level: Type.Enum(['kernel', 'image'], {
      description: 'kernel: booted, without a root. image: the root of an image is mounted.',
    }),
    image: Type.Optional(Type.String({ description: 'Only for the level image.' })),
    image_digest: Type.Optional(Type.String()),
    vcpus: Type.Integer(),
    size: Size,
    memory_bytes: Type.Integer(),
    size_bytes: Type.Integer({ description: 'What its files take on the host.' }),
    created_at: Time,
    used_at: Time,
  },
  { $id: 'Template' },
);
export type Template = Static<typeof Template>;

/** The fields of a create that a template depends on. */
export const WarmTemplates = Type.Object(
  {
    image: Type.Optional(Type.String({ minLength: 1, description: 'Default: of the kernel only.' })),
    vcpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 255, description: 'Default 1.' })),
    size: Type.Optional(SizeInput),
    overlay_size: Type.Optional(SizeInput),
  },
  { $id: 'WarmTemplates' },
);
export type WarmTemplates = Static<typeof WarmTemplates>;

export const Freed = Type.Object({ freed_bytes: Type.Integer() });
export type Freed = Static<typeof Freed>;
