import type { AskOptions } from './progress.ts';

/** A token for the daemon's TCP door, without its secret part. */
export interface TokenInfo {
  readonly id: string;
  readonly name?: string;
  /** Scopes (`instance:read`), all of a resource (`instance:*`), or everything (`*`). */
  readonly scopes: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
  /** RFC 3339; absent: never. */
  readonly expiresAt?: string;
  /** RFC 3339; absent while it is good. */
  readonly revokedAt?: string;
  /** Id of the token that made it; revoking that revokes this one too. */
  readonly parent?: string;
}

export interface NewToken extends TokenInfo {
  /** What is sent as `Authorization: Bearer`. Shown this once, and kept nowhere. */
  readonly token: string;
}

export interface CreateTokenOptions {
  /** At most 128 characters; need not be unique. */
  readonly name?: string;
  /** Default: those of whoever asks, which is all of them on the unix socket. */
  readonly scopes?: readonly string[];
  /** Default 30 days, or as long as the token that asks lives; null: never. */
  readonly expiresInSeconds?: number | null;
}

/** Tokens of a daemon. An engine in one's own process has no door that would need one. */
export interface Tokens {
  /** @throws VivError `forbidden` for more scopes, or a longer life, than whoever asks has; `invalid_request` for unknown scopes. */
  create(options?: CreateTokenOptions & AskOptions): Promise<NewToken>;
  /** Those that have not expired, newest first. */
  list(options?: AskOptions): Promise<TokenInfo[]>;
  /** By id or id prefix, effective at once. @throws VivError `not_found`, `ambiguous`. */
  revoke(id: string, options?: AskOptions): Promise<void>;
}
