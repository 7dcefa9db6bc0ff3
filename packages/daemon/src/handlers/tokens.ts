import { type CreateToken, type NewToken, type Token, tokenToWire } from '@vivarium/api';
import type { Handler } from '../call.ts';

export const createToken: Handler = async ({ house, caller, body }): Promise<NewToken> => {
  const { name, scopes, expires_in } = body as CreateToken;
  const made = await house.tokens.create({ name, scopes, expiresInSeconds: expires_in }, caller);
  return { ...tokenToWire(made), token: made.token };
};

export const listTokens: Handler = async ({ house }): Promise<Token[]> =>
  house.tokens.list().map(tokenToWire);

export const revokeToken: Handler = async ({ house, params }) => {
  house.tokens.revoke(params.id ?? '');
};
