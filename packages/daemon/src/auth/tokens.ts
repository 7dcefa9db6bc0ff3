import { randomUUID } from 'node:crypto';
import { beyond, isGrant } from '@vivarium/api';
import { type CreateTokenOptions, type NewToken, type TokenInfo, VivError } from '@vivarium/model';
import { errors, jwtVerify, SignJWT } from 'jose';
import type { Caller } from './caller.ts';
import { Connections, type Held } from './connections.ts';
import { loadSecret } from './secret.ts';
import { infoOf, type StoredToken, TokenStore } from './token-store.ts';

const audience = 'vivarium';
const defaultSeconds = 30 * 86_400;
/** Clocks of two machines may differ by so much. Seconds. */
const skewSeconds = 5;
/** Longer than any token of ours, and short enough to be looked at for nothing. */
const maxTokenChars = 8192;

/**
 * The daemon's tokens: JWTs signed with HMAC SHA-256, as hypeman's, each with an id. The key and the list are made when
 * they are first needed.
 */
export class Tokens implements Disposable {
  readonly #home: string;
  readonly #connections = new Connections();
  #opened: { key: Uint8Array; store: TokenStore } | undefined;

  constructor(home: string) {
    this.#home = home;
  }

  get #open(): { key: Uint8Array; store: TokenStore } {
    this.#opened ??= { key: loadSecret(this.#home), store: new TokenStore(this.#home) };
    return this.#opened;
  }

  /** @throws VivError `forbidden` for more than `by` has, `invalid_request` for scopes that do not exist. */
  async create(options: CreateTokenOptions, by: Caller): Promise<NewToken> {
    const { name, scopes = by.grants } = options;
    const unknown = scopes.find((scope) => !isGrant(scope));
    if (unknown !== undefined)
      throw new VivError('invalid_request', `There is no scope ${JSON.stringify(unknown)}`, {
        hint: 'docs/http-api.md lists them; instance:* and * are scopes too.',
      });
    const more = beyond(by.grants, scopes);
    if (more !== undefined)
      throw new VivError('forbidden', `A token can’t give the scope ${more}, which it has not got itself`, {
        details: { scope: more },
      });
    const createdAt = Math.floor(Date.now() / 1000) * 1000;
    const expiresAt = expiryOf(options.expiresInSeconds, createdAt, by);
    const stored: StoredToken = {
      id: randomUUID(),
      scopes: [...new Set(scopes)],
      createdAt,
      ...(name === undefined ? {} : { name }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(by.tokenId === undefined ? {} : { parent: by.tokenId }),
    };
    const { key, store } = this.#open;
    const jwt = new SignJWT({ permissions: [...stored.scopes] })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setJti(stored.id)
      .setSubject(name ?? stored.id)
      .setAudience(audience)
      .setIssuedAt(createdAt / 1000);
    if (expiresAt !== undefined) jwt.setExpirationTime(expiresAt / 1000);
    const token = await jwt.sign(key);
    store.add(stored);
    return { ...infoOf(stored), token };
  }

  /** Whose token it is. @throws VivError `unauthorized`, which never repeats any of it. */
  async verify(token: string): Promise<Caller> {
    if (token.length > maxTokenChars) throw refusal('It is too long to be one of ours.');
    const { key, store } = this.#open;
    const { payload } = await jwtVerify(token, key, {
      // The algorithm is ours to choose, never the token's.
      algorithms: ['HS256'],
      audience,
      requiredClaims: ['jti'],
      clockTolerance: skewSeconds,
    }).catch((error: unknown) => {
      throw refusal(reasonOf(error));
    });
    const stored = store.get(String(payload.jti));
    if (stored === undefined) throw refusal('This daemon has not made it.');
    if (stored.revokedAt !== undefined) throw refusal('It was revoked.');
    return {
      tokenId: stored.id,
      // hypeman's tokens without the claim may do everything; ours always have it.
      grants: grantsOf(payload.permissions),
      ...(payload.exp === undefined ? {} : { expiresAt: payload.exp * 1000 }),
    };
  }

  list(): TokenInfo[] {
    return this.#open.store.list().map(infoOf);
  }

  /** By id or id prefix, with all that it made. What is open in their name ends. */
  revoke(idOrPrefix: string): void {
    const { store } = this.#open;
    const found = store.list().filter(({ id }) => id.startsWith(idOrPrefix));
    const exact = found.find(({ id }) => id === idOrPrefix);
    if (exact === undefined && found.length > 1)
      throw new VivError('ambiguous', `${found.length} tokens have ids that begin with ${idOrPrefix}`);
    const { id } = exact ?? found[0] ?? {};
    if (id === undefined) throw new VivError('not_found', `There is no token ${idOrPrefix}`);
    for (const revoked of store.revoke(id)) this.#connections.end(revoked);
  }

  /** Ends a connection when the token it was opened with is revoked or expires. */
  hold(caller: Caller, connection: Held): void {
    if (caller.tokenId !== undefined) this.#connections.add(caller.tokenId, connection, caller.expiresAt);
  }

  [Symbol.dispose](): void {
    this.#opened?.store[Symbol.dispose]();
    this.#opened = undefined;
  }
}

function expiryOf(asked: number | null | undefined, createdAt: number, by: Caller): number | undefined {
  const wanted = asked === null ? undefined : createdAt + (asked ?? defaultSeconds) * 1000;
  if (by.expiresAt === undefined || (wanted !== undefined && wanted <= by.expiresAt)) return wanted;
  if (asked === undefined) return by.expiresAt;
  throw new VivError('forbidden', 'A token can’t make one that lives longer than itself', {
    hint: `It expires at ${new Date(by.expiresAt).toISOString()}.`,
  });
}

function grantsOf(claim: unknown): readonly string[] {
  if (claim === undefined) return ['*'];
  if (Array.isArray(claim) && claim.every((grant) => typeof grant === 'string')) return claim as string[];
  throw refusal('Its permissions are not a list of scopes.');
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'It has expired.';
  if (error instanceof errors.JWTClaimValidationFailed)
    return error.claim === 'nbf' ? 'It is not valid yet.' : `Its claim ${error.claim} is not as it must be.`;
  return 'It is not one of this daemon’s.';
}

function refusal(why: string): VivError {
  return new VivError('unauthorized', `The token is refused: ${why}`, {
    hint: 'Make one with `viv token create` on the daemon’s host.',
  });
}
