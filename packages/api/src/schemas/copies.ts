import Type, { type Static } from 'typebox';
import { StringMap } from './basic.ts';

/** What a copy can be brought to, in hypeman's words; `Paused` is ours. */
export const CopyState = Type.Enum(['Running', 'Paused', 'Standby', 'Stopped']);
export type CopyState = Static<typeof CopyState>;

const copies = {
  count: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default 1.' })),
  name: Type.Optional(
    Type.String({ description: '%d is the number of the copy, from 1. Default: invented names.' }),
  ),
  target_state: Type.Optional(CopyState),
  tags: Type.Optional(StringMap),
  auto_remove: Type.Optional(Type.Boolean()),
};

const unsafe_identity = Type.Optional(
  Type.Boolean({
    description:
      'Copy a guest whose agent does not answer; the copies keep the source’s identity. Default false.',
  }),
);

/** hypeman's; `target_state` is by default the source's. The fields other than its three are ours. */
export const ForkInstance = Type.Object(
  {
    ...copies,
    from_running: Type.Optional(
      Type.Boolean({ description: 'Also where it runs: it pauses for a moment. Default false.' }),
    ),
    unsafe_identity,
  },
  { $id: 'ForkInstance' },
);
export type ForkInstance = Static<typeof ForkInstance>;

export const ForkInstances = Type.Object({ ...copies, unsafe_identity }, { $id: 'ForkInstances' });
export type ForkInstances = Static<typeof ForkInstances>;

export const target_hypervisor = Type.Optional(
  Type.String({ description: 'The host’s own, or qemu; another one is answered with not_supported.' }),
);

/** For a snapshot: nothing of it runs, so nothing can fail to be told who it is before it does. */
export const ForkSnapshot = Type.Object({ ...copies, target_hypervisor }, { $id: 'ForkSnapshot' });
export type ForkSnapshot = Static<typeof ForkSnapshot>;
