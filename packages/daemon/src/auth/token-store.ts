import { chmodSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TokenInfo } from '@vivarium/model';

const schema = `
  CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY,
    name TEXT,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    parent TEXT
  ) STRICT;
`;

interface Row {
  id: string;
  name: string | null;
  scopes: string;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  parent: string | null;
}

/** What there is to know of a token; times are milliseconds since 1970. */
export interface StoredToken {
  id: string;
  name?: string;
  scopes: readonly string[];
  createdAt: number;
  expiresAt?: number;
  revokedAt?: number;
  parent?: string;
}

/**
 * The tokens that were made, in `tokens.db`. A token that is not in it is refused, however well it is signed: what is
 * lost with the file are tokens, never revocations.
 */
export class TokenStore implements Disposable {
  readonly #database: DatabaseSync;

  constructor(home: string) {
    const file = path.join(home, 'tokens.db');
    this.#database = new DatabaseSync(file);
    chmodSync(file, 0o600);
    this.#database.exec(`PRAGMA synchronous = FULL; ${schema}`);
  }

  add(token: StoredToken): void {
    // The table does not grow for ever: what has expired is refused by its own claim.
    this.#database.prepare('DELETE FROM tokens WHERE expires_at < ?').run(Date.now());
    this.#database
      .prepare(
        'INSERT INTO tokens (id, name, scopes, created_at, expires_at, parent) VALUES (?, ?, ?, ?, ?, ?)',
      )
      .run(
        token.id,
        token.name ?? null,
        JSON.stringify(token.scopes),
        token.createdAt,
        token.expiresAt ?? null,
        token.parent ?? null,
      );
  }

  get(id: string): StoredToken | undefined {
    const row = this.#database.prepare('SELECT * FROM tokens WHERE id = ?').get(id);
    return row === undefined ? undefined : stored(row as unknown as Row);
  }

  /** Those that have not expired, newest first. */
  list(): StoredToken[] {
    return this.#database
      .prepare(
        'SELECT * FROM tokens WHERE expires_at IS NULL OR expires_at >= ? ORDER BY created_at DESC, rowid DESC',
      )
      .all(Date.now())
      .map((row) => stored(row as unknown as Row));
  }

  /** Revokes a token and all that were made with it, and theirs; answers the ids. */
  revoke(id: string): string[] {
    const revoked = this.#database
      .prepare(
        `WITH RECURSIVE family (id) AS (
           SELECT ? UNION SELECT tokens.id FROM tokens JOIN family ON tokens.parent = family.id
         )
         UPDATE tokens SET revoked_at = ? WHERE id IN family AND revoked_at IS NULL RETURNING id`,
      )
      .all(id, Date.now());
    return revoked.map((row) => String(row.id));
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function stored(row: Row): StoredToken {
  return {
    id: row.id,
    scopes: JSON.parse(row.scopes) as string[],
    createdAt: row.created_at,
    ...(row.name === null ? {} : { name: row.name }),
    ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
    ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
    ...(row.parent === null ? {} : { parent: row.parent }),
  };
}

export function infoOf(token: StoredToken): TokenInfo {
  const at = (ms: number) => new Date(ms).toISOString();
  const { createdAt, expiresAt, revokedAt, ...rest } = token;
  return {
    ...rest,
    createdAt: at(createdAt),
    ...(expiresAt === undefined ? {} : { expiresAt: at(expiresAt) }),
    ...(revokedAt === undefined ? {} : { revokedAt: at(revokedAt) }),
  };
}
