import Type, { type Static } from 'typebox';
import { Time } from './basic.ts';

const path = Type.String({ minLength: 1 });
const mode = Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 }));
const id = Type.Optional(Type.Integer({ minimum: 0, maximum: 0xffff_fffe }));
const owner = { mode, uid: id, gid: id };

export const DirectoryEntry = Type.Object(
  {
    name: Type.String(),
    kind: Type.Enum(['file', 'directory', 'symlink', 'other']),
    size: Type.Integer(),
    mode: Type.Integer(),
    uid: Type.Integer(),
    gid: Type.Integer(),
    modified_at: Time,
    link_target: Type.Optional(Type.String()),
  },
  { $id: 'DirectoryEntry' },
);
export type DirectoryEntry = Static<typeof DirectoryEntry>;

export const MakeDirectory = Type.Object(
  { path, parents: Type.Optional(Type.Boolean({ description: 'Default false.' })), ...owner },
  { $id: 'MakeDirectory' },
);
export type MakeDirectory = Static<typeof MakeDirectory>;

export const RenamePath = Type.Object(
  {
    from: path,
    to: path,
    replace: Type.Optional(
      Type.Boolean({ description: 'False: refused where the target exists. Default true.' }),
    ),
  },
  { $id: 'RenamePath' },
);
export type RenamePath = Static<typeof RenamePath>;

export const SetAttributes = Type.Object(
  { path, ...owner, follow_links: Type.Optional(Type.Boolean({ description: 'Default false.' })) },
  { $id: 'SetAttributes' },
);
export type SetAttributes = Static<typeof SetAttributes>;

export const RemovedPath = Type.Object({ removed: Type.Integer() });

export const FileChange = Type.Object(
  {
    kind: Type.Enum(['watching', 'created', 'modified', 'attributes', 'removed', 'renamed', 'lost'], {
      description:
        'watching: the first one; from then on nothing is missed. lost: more happened than was kept.',
    }),
    path,
    from: Type.Optional(path),
  },
  { $id: 'FileChange' },
);
export type FileChange = Static<typeof FileChange>;
