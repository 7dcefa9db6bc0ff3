import Type, { type Static } from 'typebox';
import { Nullable, Time } from './basic.ts';

/** hypeman's answer to `stat`; from `path` on ours, and absent where nothing exists. */
export const PathInfo = Type.Object(
  {
    exists: Type.Boolean(),
    error: Type.Optional(Nullable(Type.String())),
    is_dir: Type.Optional(Type.Boolean()),
    is_file: Type.Optional(Type.Boolean()),
    is_symlink: Type.Optional(Type.Boolean()),
    link_target: Type.Optional(Nullable(Type.String())),
    mode: Type.Optional(Type.Integer({ description: 'Permission bits, setuid and sticky among them.' })),
    size: Type.Optional(Type.Integer()),
    path: Type.Optional(Type.String()),
    kind: Type.Optional(Type.Enum(['file', 'directory', 'symlink', 'other'])),
    uid: Type.Optional(Type.Integer()),
    gid: Type.Optional(Type.Integer()),
    modified_at: Type.Optional(Time),
  },
  { $id: 'PathInfo' },
);
export type PathInfo = Static<typeof PathInfo>;

export const Copied = Type.Object({ bytes: Type.Integer(), entries: Type.Integer() });
