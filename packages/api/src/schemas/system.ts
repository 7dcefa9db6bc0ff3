import Type, { type Static } from 'typebox';

export const Health = Type.Object({
  status: Type.Literal('ok'),
  version: Type.String(),
  pid: Type.Optional(Type.Integer({ description: 'On the unix socket.' })),
  home: Type.Optional(Type.String({ description: 'The data directory, on the unix socket.' })),
  url: Type.Optional(
    Type.String({
      description: 'Where it listens on TCP, with the port that was bound; on the unix socket.',
    }),
  ),
});
export type Health = Static<typeof Health>;

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
