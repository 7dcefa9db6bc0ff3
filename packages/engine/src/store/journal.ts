import type { DatabaseSync } from 'node:sqlite';
import { type ErrorRecord, isVivError, type OperationState } from '@vivarium/model';
import { storeError } from './database.ts';
import type { InstanceRecord } from './record.ts';
import { noReserve, type Reserve } from './reserve.ts';

/** `failed`: neither done nor undone; the instance is in Error and the evidence with it. */
export type Outcome = 'done' | 'undone' | 'failed';

/** What is undone because somebody wanted it is cancelled. */
export function stateOf(outcome: Outcome, error: { code: string } | undefined): OperationState {
  return outcome === 'undone' && error?.code === 'cancelled' ? 'cancelled' : outcome;
}

export interface JournalEntry {
  id: string;
  instanceId: string;
  action: string;
  /** The request that it is a part of. */
  parent?: string;
  startedAt: string;
  endedAt?: string;
  outcome?: Outcome;
  error?: ErrorRecord;
}

interface Row {
  id: string;
  instance_id: string;
  action: string;
  started_at: string;
  ended_at: string | null;
  outcome: Outcome | null;
  error: string | null;
}

/** Operations that may begin on a full disk: nothing else leads out of that. */
const relieving: ReadonlySet<string> = new Set(['stop', 'delete']);

/** Operations between two clearings-out of the journal. */
const forgetEvery = 1000;

/** Records and the operations on them. Each call is one transaction; what it wrote is on disk when it returns. */
export class Journal {
  readonly #database: DatabaseSync;
  readonly #statements;
  readonly #keep: number;
  readonly #reserve: Reserve;
  #ended = 0;

  /**
   * `keep`: how many operations that have ended are held. Default 10,000. `reserve`: room on the disk that is given up where
   * there is no other, for all but the beginning of what would only fill it further.
   */
  constructor(database: DatabaseSync, keep = 10_000, reserve: Reserve = noReserve) {
    this.#database = database;
    this.#keep = keep;
    this.#reserve = reserve;
    this.#statements = {
      put: database.prepare(
        'INSERT INTO instances (id, name, record) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record',
      ),
      drop: database.prepare('DELETE FROM instances WHERE id = ?'),
      all: database.prepare('SELECT record FROM instances'),
      begin: database.prepare(
        'INSERT INTO operations (id, instance_id, action, started_at, parent) VALUES (?, ?, ?, ?, ?)',
      ),
      end: database.prepare('UPDATE operations SET ended_at = ?, outcome = ?, error = ? WHERE id = ?'),
      close: database.prepare(
        "UPDATE operations SET ended_at = ?, outcome = 'failed' WHERE instance_id = ? AND ended_at IS NULL",
      ),
      open: database.prepare('SELECT * FROM operations WHERE ended_at IS NULL ORDER BY started_at'),
      get: database.prepare('SELECT * FROM operations WHERE id = ?'),
      did: database.prepare(
        "SELECT 1 FROM operations WHERE instance_id = ? AND action = ? AND outcome = 'done' LIMIT 1",
      ),
      forget: database.prepare(
        'DELETE FROM operations WHERE ended_at IS NOT NULL AND rowid <= (SELECT max(rowid) FROM operations) - ?',
      ),
    };
    this.#statements.forget.run(keep);
  }

  /** One transaction, on disk when this returns. `mayUseReserve` false: it would only fill a full disk further. @throws VivError `disk_full`. */
  transaction(work: () => void, mayUseReserve = true): void {
    try {
      this.#attempt(work);
    } catch (error) {
      if (!isVivError(error, 'disk_full') || !mayUseReserve || !this.#reserve.giveUp()) throw error;
      this.#attempt(work);
    }
  }

  #attempt(work: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      // A full disk has ended the transaction already.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw storeError(error);
    }
  }

  records(): InstanceRecord[] {
    return this.#statements.all.all().map((row) => JSON.parse(row.record as string) as InstanceRecord);
  }

  /** The intent, with the record as it is to be looked at should this process die now. */
  begin(entry: JournalEntry, record: InstanceRecord): void {
    this.transaction(() => {
      this.#statements.put.run(record.id, record.name, JSON.stringify(record));
      // One at a time: an earlier one whose end could not be written is over.
      this.#statements.close.run(entry.startedAt, entry.instanceId);
      const { id, instanceId, action, startedAt, parent } = entry;
      this.#statements.begin.run(id, instanceId, action, startedAt, parent ?? null);
    }, relieving.has(entry.action));
  }

  /** The end, and its time. `record` undefined: the instance is gone with it. */
  end(
    id: string,
    instanceId: string,
    outcome: Outcome,
    record: InstanceRecord | undefined,
    error?: ErrorRecord,
  ): string {
    const at = new Date().toISOString();
    this.transaction(() => {
      if (record === undefined) this.#statements.drop.run(instanceId);
      else this.#statements.put.run(record.id, record.name, JSON.stringify(record));
      this.#statements.end.run(at, outcome, error === undefined ? null : JSON.stringify(error), id);
    });
    this.#ended += 1;
    if (this.#ended % forgetEvery === 0) this.#statements.forget.run(this.#keep);
    return at;
  }

  /** A change that no operation made: an exit that was observed, a record that was found. */
  save(record: InstanceRecord): void {
    this.transaction(() => {
      this.#statements.put.run(record.id, record.name, JSON.stringify(record));
    });
  }

  /**
   * As {@link save}, for what only a successor of this process has to find: a loss of power may take it, until something else is written.
   * A sync costs 1 to 10 ms.
   */
  note(record: InstanceRecord): void {
    this.#database.exec('PRAGMA synchronous = NORMAL');
    try {
      this.save(record);
    } finally {
      this.#database.exec('PRAGMA synchronous = FULL');
    }
  }

  unfinished(): JournalEntry[] {
    return this.#statements.open.all().map((row) => toEntry(row as unknown as Row));
  }

  /** Whether such an operation on the instance, which may be gone, is known to have been done. */
  did(instanceId: string, action: string): boolean {
    return this.#statements.did.get(instanceId, action) !== undefined;
  }

  find(id: string): JournalEntry | undefined {
    const row = this.#statements.get.get(id) as unknown as Row | undefined;
    return row && toEntry(row);
  }
}

function toEntry(row: Row): JournalEntry {
  return {
    id: row.id,
    instanceId: row.instance_id,
    action: row.action,
    startedAt: row.started_at,
    ...(row.ended_at === null ? {} : { endedAt: row.ended_at }),
    ...(row.outcome === null ? {} : { outcome: row.outcome }),
    ...(row.error === null ? {} : { error: JSON.parse(row.error) as ErrorRecord }),
  };
}
