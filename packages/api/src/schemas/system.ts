import Type, { type Static } from 'typebox';
import { Time } from './basic.ts';
import { ErrorBody } from './error.ts';

export const Health = Type.Object({
  status: Type.Literal('ok'),
  version: Type.String(),
  pid: Type.Optional(Type.Integer({ description: 'On the unix socket.' })),
  home: Type.Optional(Type.String({ description: 'The data directory, on the unix socket.' })),
});

export const Capabilities = Type.Object(
  {
    server: Type.Object({ version: Type.String(), api_version: Type.String() }),
    host: Type.Object({ os: Type.String(), arch: Type.String() }),
    default_runtime: Type.Object({ name: Type.String(), available: Type.Boolean() }),
    runtimes: Type.Array(
      Type.Object({ name: Type.String(), available: Type.Boolean(), features: Type.Array(Type.String()) }),
    ),
    images: Type.Object({ default_platform: Type.String(), platforms: Type.Array(Type.String()) }),
    network: Type.Object({ model: Type.Enum(['bridge', 'nat']), guest_to_guest: Type.Boolean() }),
    features: Type.Array(Type.String()),
    driver: Type.Unknown({ description: 'What the driver says of itself.' }),
  },
  { $id: 'Capabilities' },
);
export type Capabilities = Static<typeof Capabilities>;

export const Operation = Type.Object(
  {
    id: Type.String(),
    instance_id: Type.String(),
    action: Type.String(),
    started_at: Time,
    ended_at: Type.Optional(Time),
    outcome: Type.Optional(
      Type.Enum(['done', 'undone', 'failed'], { description: 'Absent while it is under way.' }),
    ),
    error: Type.Optional(ErrorBody),
  },
  { $id: 'Operation' },
);
export type Operation = Static<typeof Operation>;

export const Doctor = Type.Object(
  {
    ok: Type.Boolean(),
    checks: Type.Array(
      Type.Object({
        name: Type.String(),
        status: Type.Enum(['ok', 'warning', 'failed']),
        message: Type.String(),
        hint: Type.Optional(Type.String()),
      }),
    ),
  },
  { $id: 'Doctor' },
);
