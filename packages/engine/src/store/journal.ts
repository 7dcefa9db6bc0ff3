import type { DatabaseSync } from 'node:sqlite';
import type { ErrorRecord } from '@vivarium/model';
import type { InstanceRecord } from './record.ts';

/** `failed`: neither done nor undone; the instance is in Error and the evidence with it. */
export type Outcome = 'done' | 'undone' | 'failed';

export interface JournalEntry {
  id: string;
  instanceId: string;
  action: string;
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

/** Records and the operations on them. Each call is one transaction; what it wrote is on disk when it returns. */
export class Journal {
  readonly #database: DatabaseSync;
  readonly #statements;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = {
      put: database.prepare(
        'INSERT INTO instances (id, name, record) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record',
      ),
      drop: database.prepare('DELETE FROM instances WHERE id = ?'),
      all: database.prepare('SELECT record FROM instances'),
      begin: database.prepare(
        'INSERT INTO operations (id, instance_id, action, started_at) VALUES (?, ?, ?, ?)',
      ),
      end: database.prepare('UPDATE operations SET ended_at = ?, outcome = ?, error = ? WHERE id = ?'),
      open: database.prepare('SELECT * FROM operations WHERE ended_at IS NULL ORDER BY started_at'),
      get: database.prepare('SELECT * FROM operations WHERE id = ?'),
      forget: database.prepare('DELETE FROM operations WHERE ended_at IS NOT NULL AND ended_at < ?'),
    };
  }

  #transaction(work: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  records(): InstanceRecord[] {
    return this.#statements.all.all().map((row) => JSON.parse(row.record as string) as InstanceRecord);
  }

  /** The intent, with the record as it is to be looked at should this process die now. */
  begin(entry: JournalEntry, record: InstanceRecord): void {
    this.#transaction(() => {
      this.#statements.put.run(record.id, record.name, JSON.stringify(record));
      this.#statements.begin.run(entry.id, entry.instanceId, entry.action, entry.startedAt);
    });
  }

  /** The end. `record` undefined: the instance is gone with it. */
  end(
    id: string,
    instanceId: string,
    outcome: Outcome,
    record: InstanceRecord | undefined,
    error?: ErrorRecord,
  ): void {
    this.#transaction(() => {
      if (record === undefined) this.#statements.drop.run(instanceId);
      else this.#statements.put.run(record.id, record.name, JSON.stringify(record));
      this.#statements.end.run(
        new Date().toISOString(),
        outcome,
        error === undefined ? null : JSON.stringify(error),
        id,
      );
    });
  }

  /** A change that no operation made: an exit that was observed, a record that was found. */
  save(record: InstanceRecord): void {
    this.#statements.put.run(record.id, record.name, JSON.stringify(record));
  }

  unfinished(): JournalEntry[] {
    return this.#statements.open.all().map((row) => toEntry(row as unknown as Row));
  }

  find(id: string): JournalEntry | undefined {
    const row = this.#statements.get.get(id) as unknown as Row | undefined;
    return row && toEntry(row);
  }

  /** Ended operations from before `before` (RFC 3339) are forgotten. */
  forget(before: string): void {
    this.#statements.forget.run(before);
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
