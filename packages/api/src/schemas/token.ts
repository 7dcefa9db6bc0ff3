import Type, { type Static } from 'typebox';
import { Nullable, Time } from './basic.ts';

const fields = {
  id: Type.String({ description: 'Its jti.' }),
  name: Type.Optional(Type.String()),
  scopes: Type.Array(Type.String(), { description: 'Scopes, `resource:*`, or `*`.' }),
  created_at: Time,
  expires_at: Nullable(Time),
  revoked_at: Nullable(Time),
  parent: Type.Optional(Type.String({ description: 'The token that made it; revoked together.' })),
};

/** A token without its secret part. */
export const Token = Type.Object(fields, { $id: 'Token' });
export type Token = Static<typeof Token>;

export const NewToken = Type.Object(
  { ...fields, token: Type.String({ description: 'The JWT. It is shown once, and kept nowhere.' }) },
  { $id: 'NewToken' },
);
export type NewToken = Static<typeof NewToken>;

/** Tokens live at most a hundred years: longer is what `null` says. */
const longestSeconds = 100 * 365 * 86_400;

export const CreateToken = Type.Object(
  {
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    scopes: Type.Optional(
      Type.Array(Type.String({ maxLength: 64 }), {
        maxItems: 64,
        description: 'Default: those of whoever asks.',
      }),
    ),
    expires_in: Type.Optional(
      Nullable(
        Type.Integer({
          minimum: 1,
          maximum: longestSeconds,
          description: 'Seconds. Default 30 days, or as long as whoever asks; null: never.',
        }),
      ),
    ),
  },
  { $id: 'CreateToken' },
);
export type CreateToken = Static<typeof CreateToken>;
