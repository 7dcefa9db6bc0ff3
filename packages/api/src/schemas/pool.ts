import Type, { type Static } from 'typebox';
import { Time } from './basic.ts';
import { CreateInstance, unsupportedCreateFields } from './instance.ts';

const Stage = Type.Enum(['running', 'suspended', 'stopped']);

/** What the VMs of a pool are: the fields of a create but those that the pool decides. */
export const PoolInstance = Type.Omit(CreateInstance, [
  'name',
  'start',
  'attach',
  'auto_remove',
  'restart_policy',
  'ttl',
  'expires_at',
  'autostart',
  ...(Object.keys(unsupportedCreateFields) as (keyof typeof unsupportedCreateFields)[]),
]);
export type PoolInstance = Static<typeof PoolInstance>;

export const CreatePool = Type.Object(
  {
    name: Type.String(),
    instance: PoolInstance,
    size: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1000, description: 'VMs that are kept ready. Default 2.' }),
    ),
    stage: Type.Optional(Stage),
    creation_timeout_ms: Type.Optional(Type.Integer({ minimum: 1, description: 'Default 120000.' })),
    wait: Type.Optional(
      Type.Boolean({
        description: 'False: answer at once. Default true: once the first VM is ready.',
      }),
    ),
  },
  { $id: 'CreatePool' },
);
export type CreatePool = Static<typeof CreatePool>;

export const Pool = Type.Object(
  {
    name: Type.String(),
    image: Type.String(),
    size: Type.Integer(),
    stage: Stage,
    ready: Type.Integer({ description: 'VMs that can be handed out at once.' }),
    creating: Type.Integer(),
    acquired: Type.Integer({ description: 'Handed out and not given back.' }),
    health: Type.Enum(['full', 'filling', 'failing'], {
      description: 'failing: the last attempt failed, and the next one waits.',
    }),
    last_error: Type.Optional(
      Type.Object({
        code: Type.String(),
        message: Type.String(),
        at: Time,
        attempts: Type.Integer(),
        retry_at: Type.Optional(Time),
      }),
    ),
    created_at: Time,
  },
  { $id: 'Pool' },
);
export type Pool = Static<typeof Pool>;

export const ReleaseInstance = Type.Object({
  instance: Type.String({ minLength: 1, description: 'Id or name of a VM that was acquired.' }),
});

export const PoolEvent = Type.Object(
  {
    seq: Type.Integer(),
    at: Time,
    pool: Type.String(),
    type: Type.Enum([
      'created',
      'creating',
      'ready',
      'creation-failed',
      'creation-cancelled',
      'backing-off',
      'recovered',
      'waiting',
      'acquired',
      'released',
      'lost',
      'full',
      'closing',
      'closed',
    ]),
    instance_id: Type.Optional(Type.String()),
    data: Type.Record(Type.String(), Type.Unknown()),
  },
  { $id: 'PoolEvent' },
);
export type PoolEvent = Static<typeof PoolEvent>;
