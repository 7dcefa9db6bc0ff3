import type { CreateTokenOptions, NewToken as NewTokenInfo, TokenInfo } from '@vivarium/model';
import type { CreateToken, NewToken, Token } from '../schemas/token.ts';
import { present } from './present.ts';

export function tokenFromWire(wire: Token): TokenInfo {
  return present({
    id: wire.id,
    name: wire.name,
    scopes: wire.scopes,
    createdAt: wire.created_at,
    expiresAt: wire.expires_at ?? undefined,
    revokedAt: wire.revoked_at ?? undefined,
    parent: wire.parent,
  }) as TokenInfo;
}

export function tokenToWire(info: TokenInfo): Token {
  return present({
    id: info.id,
    name: info.name,
    scopes: [...info.scopes],
    created_at: info.createdAt,
    expires_at: info.expiresAt ?? null,
    revoked_at: info.revokedAt ?? null,
    parent: info.parent,
  }) as Token;
}

export function newTokenFromWire(wire: NewToken): NewTokenInfo {
  return { ...tokenFromWire(wire), token: wire.token };
}

export function createTokenToWire({ name, scopes, expiresInSeconds }: CreateTokenOptions): CreateToken {
  return present({ name, scopes: scopes && [...scopes], expires_in: expiresInSeconds }) as CreateToken;
}
