import type { DatabaseSync } from 'node:sqlite';
import type { VolumeRecord } from '../volumes/record.ts';
import type { Journal } from './journal.ts';

/** The volumes of a data directory. Each call is one transaction; what it wrote is on disk when it returns. */
export class VolumeStore {
  readonly #journal: Journal;
  readonly #statements;

  constructor(database: DatabaseSync, journal: Journal) {
    this.#journal = journal;
    this.#statements = {
      put: database.prepare(
        'INSERT INTO volumes (id, name, record) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record',
      ),
      drop: database.prepare('DELETE FROM volumes WHERE id = ?'),
      all: database.prepare('SELECT record FROM volumes'),
    };
  }

  all(): VolumeRecord[] {
    return this.#statements.all.all().map((row) => JSON.parse(row.record as string) as VolumeRecord);
  }

  save(record: VolumeRecord): void {
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
