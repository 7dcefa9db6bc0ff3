import type { DatabaseSync } from 'node:sqlite';
import type { Journal } from './journal.ts';

/** What is kept whole under an id, and has a name that no other of its kind has. */
interface NamedRecord {
  id: string;
  name: string;
  phase: string;
}

/**
 * All records of one table, by name. Each call is one transaction; what it wrote is on disk when it returns. One that is on its way
 * out (`removing`) may use the room that is kept for a full disk.
 */
export class NamedRecords<T extends NamedRecord> {
  readonly #journal: Journal;
  readonly #statements;

  constructor(database: DatabaseSync, journal: Journal, table: 'pools' | 'volumes') {
    this.#journal = journal;
    this.#statements = {
      put: database.prepare(
        `INSERT INTO ${table} (id, name, record) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record`,
      ),
      drop: database.prepare(`DELETE FROM ${table} WHERE id = ?`),
      all: database.prepare(`SELECT record FROM ${table} ORDER BY name`),
    };
  }

  all(): T[] {
    return this.#statements.all.all().map((row) => JSON.parse(row.record as string) as T);
  }

  save(record: T): void {
    this.#journal.transaction(() => {
      this.#statements.put.run(record.id, record.name, JSON.stringify(record));
    }, record.phase === 'removing');
  }

  drop(id: string): void {
    this.#journal.transaction(() => {
      this.#statements.drop.run(id);
    });
  }
}
