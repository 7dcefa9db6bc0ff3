import Type from 'typebox';
import { CreateToken, NewToken, Token } from '../schemas/token.ts';
import { lookup } from './errors.ts';
import type { RouteRule } from './route.ts';

export const tokenRules = {
  createToken: {
    summary: 'Make a token, with no more scopes and no longer life than one’s own',
    tag: 'tokens',
    scope: 'token:write',
    origin: 'vivarium',
    body: CreateToken,
    bodyOptional: true,
    status: 201,
    answer: NewToken,
    errors: [],
  },
  listTokens: {
    summary: 'All tokens that have not expired, newest first, revoked ones among them',
    tag: 'tokens',
    scope: 'token:read',
    origin: 'vivarium',
    status: 200,
    answer: Type.Array(Token),
    errors: [],
  },
  revokeToken: {
    summary: 'Revoke a token by id or id prefix, and all that it made; connections made with it end',
    tag: 'tokens',
    scope: 'token:delete',
    origin: 'vivarium',
    status: 204,
    errors: lookup,
  },
} satisfies Record<string, RouteRule>;
