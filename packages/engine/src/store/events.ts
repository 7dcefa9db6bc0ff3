import { EventEmitter } from 'node:events';
import type { DatabaseSync } from 'node:sqlite';
import type { InstanceEvent } from '@vivarium/model';

interface Row {
  seq: number;
  at: string;
  instance_id: string;
  instance_name: string;
  type: string;
  data: string;
}

const batch = 500;

/** Stored, numbered events. A reader that knows its last number misses nothing and sees nothing twice. */
export class EventLog implements Disposable {
  readonly #insert;
  readonly #after;
  readonly #afterOne;
  readonly #last;
  readonly #trim;
  readonly #live = new EventEmitter<{ event: [InstanceEvent]; end: [] }>().setMaxListeners(0);
  readonly #keep: number;
  #seq: number;
  #closed = false;

  /** `keep`: how many of the newest events are held. Default 100,000. */
  constructor(database: DatabaseSync, keep = 100_000) {
    this.#insert = database.prepare(
      'INSERT INTO events (at, instance_id, instance_name, type, data) VALUES (?, ?, ?, ?, ?)',
    );
    this.#after = database.prepare(`SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ${batch}`);
    this.#afterOne = database.prepare(
      `SELECT * FROM events WHERE instance_id = ? AND seq > ? ORDER BY seq LIMIT ${batch}`,
    );
    this.#trim = database.prepare('DELETE FROM events WHERE seq <= ?');
    this.#last = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'");
    this.#keep = keep;
    this.#seq = Number((this.#last.get() as { seq?: number } | undefined)?.seq ?? 0);
  }

  /** Number of the newest event. */
  get last(): number {
    return this.#seq;
  }

  /** Ends all readers. What comes later is of nobody's concern here: whoever owns the data directory next sees for itself. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#live.emit('end');
    this.#live.removeAllListeners();
  }

  /** Undefined once the log is closed. */
  append(
    instance: { id: string; name: string },
    type: string,
    data: Record<string, unknown>,
  ): InstanceEvent | undefined {
    if (this.#closed) return undefined;
    const at = new Date().toISOString();
    const { lastInsertRowid } = this.#insert.run(at, instance.id, instance.name, type, JSON.stringify(data));
    this.#seq = Number(lastInsertRowid);
    if (this.#seq % 1000 === 0) this.#trim.run(this.#seq - this.#keep);
    const event = { seq: this.#seq, at, instanceId: instance.id, instanceName: instance.name, type, data };
    this.#live.emit('event', event);
    return event;
  }

  /** Stored events of one instance, oldest first, at most 500. */
  of(instanceId: string, since = 0): InstanceEvent[] {
    return this.#afterOne.all(instanceId, since).map((row) => toEvent(row as unknown as Row));
  }

  /** Called for each new event, at once, until the returned function is called. */
  subscribe(listener: (event: InstanceEvent) => void): () => void {
    this.#live.on('event', listener);
    return () => this.#live.off('event', listener);
  }

  /**
   * Events after `since` from the store, then the new ones. A slow reader holds nothing in memory: it always reads from
   * the store, and is only woken by what is new.
   */
  async *read(
    options: { since?: number; instanceId?: string; signal?: AbortSignal } = {},
  ): AsyncGenerator<InstanceEvent> {
    // A number from beyond the end is of another log: one that was lost, and begun anew.
    let since = Math.min(options.since ?? this.#seq, this.#seq);
    let wake = Promise.withResolvers<void>();
    const abort = () => wake.resolve();
    const off = this.subscribe(abort);
    this.#live.once('end', abort);
    options.signal?.addEventListener('abort', abort);
    try {
      while (!options.signal?.aborted && !this.#closed) {
        wake = Promise.withResolvers();
        const rows = this.#after.all(since) as unknown as Row[];
        for (const row of rows) {
          since = row.seq;
          if (options.instanceId !== undefined && row.instance_id !== options.instanceId) continue;
          yield toEvent(row);
          if (options.signal?.aborted || this.#closed) return;
        }
        if (rows.length < batch) await wake.promise;
      }
    } finally {
      off();
      this.#live.off('end', abort);
      options.signal?.removeEventListener('abort', abort);
    }
  }
}

function toEvent(row: Row): InstanceEvent {
  return {
    seq: row.seq,
    at: row.at,
    instanceId: row.instance_id,
    instanceName: row.instance_name,
    type: row.type,
    data: JSON.parse(row.data) as Record<string, unknown>,
  };
}
