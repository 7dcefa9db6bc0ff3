import type { DatabaseSync } from 'node:sqlite';
import type { PoolOptions, PoolStage } from '@vivarium/model';
import type { Journal } from './journal.ts';

/** All that is kept of a pool. Which instances are its own, and which were handed out, their records say. */
export interface PoolRecord {
  format: 1;
  id: string;
  name: string;
  /** How its VMs are made. */
  vm: Omit<PoolOptions, 'size' | 'stage' | 'creationTimeoutMs'>;
  size: number;
  /** As it was asked for. */
  stage: PoolStage;
  /** Milliseconds. */
  creationTimeoutMs: number;
  /** `creating`: somebody still waits for its first VM, and nothing of it stays without him. `removing`: it goes. */
  phase: 'creating' | 'open' | 'removing';
  /** Only with `removing`: what was handed out stays. */
  keepAcquired?: boolean;
  /** RFC 3339. */
  createdAt: string;
  /** The request with an idempotency key that made it. */
  request?: string;
}

/** The pools of a data directory. Each call is one transaction; what it wrote is on disk when it returns. */
export class PoolStore {
  readonly #journal: Journal;
  readonly #statements;

  constructor(database: DatabaseSync, journal: Journal) {
    this.#journal = journal;
    this.#statements = {
      put: database.prepare(
        'INSERT INTO pools (id, name, record) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record',
      ),
      drop: database.prepare('DELETE FROM pools WHERE id = ?'),
      all: database.prepare('SELECT record FROM pools ORDER BY name'),
    };
  }

  all(): PoolRecord[] {
    return this.#statements.all.all().map((row) => JSON.parse(row.record as string) as PoolRecord);
  }

  save(record: PoolRecord): void {
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
