import { createId } from '../ids.ts';
import type { Database } from './database.ts';
import { storeError } from './database.ts';
import type { Journal } from './journal.ts';

/** A request with an idempotency key. */
export interface StoredRequest {
  /** The mark on what is made for it: a key may be used for another request once it is forgotten. */
  id: string;
  /** Of what it asks for. */
  fingerprint: string;
  /** Absent: it is under way, or its process was killed. `failed`: it was undone. */
  outcome?: 'done' | 'failed';
  /** Ids; without an outcome as far as they were known. */
  made?: string[];
  /** It was not known before. */
  fresh: boolean;
}

interface Row {
  id: string;
  fingerprint: string;
  outcome: 'done' | 'failed' | null;
  made: string | null;
}

/** How long a request is known. Milliseconds. */
const requestLifeMs = 24 * 60 * 60_000;

/** Requests between two clearings-out. */
const forgetEvery = 256;

/** Requests with idempotency keys, the newest of the last 24 hours. */
export class RequestStore {
  readonly #journal: Journal;
  readonly #statements;
  readonly #keep: number;
  #begun = 0;

  /** `keep`: how many are known at most. Default 50,000. */
  constructor({ records, events }: Database, journal: Journal, keep = 50_000) {
    this.#journal = journal;
    this.#keep = keep;
    this.#statements = {
      get: records.prepare('SELECT id, fingerprint, outcome, made FROM requests WHERE key = ?'),
      put: records.prepare('INSERT INTO requests (id, key, fingerprint, at) VALUES (?, ?, ?, ?)'),
      forget: records.prepare(
        'DELETE FROM requests WHERE at < ? OR seq <= (SELECT max(seq) FROM requests) - ?',
      ),
      // What a power failure takes of these is found again by the mark: they need not wait for the disk.
      note: events.prepare('UPDATE requests SET made = ? WHERE id = ?'),
      end: events.prepare('UPDATE requests SET outcome = ?, made = coalesce(?, made) WHERE id = ?'),
    };
    this.#forget(Date.now());
  }

  find(key: string): StoredRequest | undefined {
    const row = this.#statements.get.get(key) as unknown as Row | undefined;
    if (row === undefined) return undefined;
    const { id, fingerprint, outcome, made } = row;
    return {
      id,
      fingerprint,
      fresh: false,
      ...(outcome === null ? {} : { outcome }),
      ...(made === null ? {} : { made: JSON.parse(made) as string[] }),
    };
  }

  /** The request of this key, which is on disk when this returns. @throws VivError `disk_full`. */
  begin(key: string, fingerprint: string): StoredRequest {
    const now = Date.now();
    if (this.#begun++ % forgetEvery === 0) this.#forget(now);
    const known = this.find(key);
    if (known !== undefined) return known;
    const id = createId();
    this.#journal.transaction(() => {
      this.#statements.put.run(id, key, fingerprint, now);
    }, false);
    return { id, fingerprint, fresh: true };
  }

  /** What is being made, before it is. @throws VivError. */
  note(id: string, made: string[]): void {
    written(() => this.#statements.note.run(JSON.stringify(made), id));
  }

  /** @throws VivError. */
  end(id: string, outcome: 'done' | 'failed', made?: string[]): void {
    written(() => this.#statements.end.run(outcome, made === undefined ? null : JSON.stringify(made), id));
  }

  #forget(now: number): void {
    written(() => this.#statements.forget.run(now - requestLifeMs, this.#keep));
  }
}

function written(write: () => unknown): void {
  try {
    write();
  } catch (error) {
    throw storeError(error);
  }
}
