import { EventEmitter } from 'node:events';
import type { DatabaseSync } from 'node:sqlite';
import type { EventResource, InstanceEvent } from '@vivarium/model';
import { RecentEvents } from './recent-events.ts';

interface Row {
  seq: number;
  at: string;
  instance_id: string;
  instance_name: string;
  kind: string | null;
  type: string;
  data: string;
}

/** What an event is about; without a kind, an instance. */
export type About = Omit<EventResource, 'kind'> & { kind?: EventResource['kind'] };

/** Which events a reader wants, with the instance's id looked up. */
export interface ReadOptions {
  /** Default: only new ones. */
  since?: number;
  instanceId?: string;
  types?: readonly string[];
  kinds?: readonly string[];
  /** Default true. */
  follow?: boolean;
  signal?: AbortSignal;
}

/** A reader holds as many at a time. */
const batch = 128;
/** Numbers that one look into the store goes through: a filter that nothing fits must not stop the daemon. */
const stretch = 4096;
/** Events between two clearings-out. */
const trimEvery = 1000;

/** Stored, numbered events. A reader that knows its last number misses nothing and sees nothing twice. */
export class EventLog implements Disposable {
  readonly #statements;
  readonly #recent: RecentEvents;
  readonly #live = new EventEmitter<{ event: [InstanceEvent]; wake: []; end: [] }>().setMaxListeners(0);
  readonly #keep: number;
  #seq: number;
  #oldest: number;
  #waking = false;
  #closed = false;

  /**
   * `keep`: how many of the newest events are held, 100,000 by default. `recent`: how many of them in memory too, so that readers
   * who keep up share them; 1000 by default.
   */
  constructor(database: DatabaseSync, keep = 100_000, recent = 1000) {
    this.#statements = {
      insert: database.prepare(
        'INSERT INTO events (at, instance_id, instance_name, kind, type, data) VALUES (?, ?, ?, ?, ?, ?)',
      ),
      some: database.prepare(`
        SELECT * FROM events WHERE seq > :since AND seq <= :until
          AND (:instance IS NULL OR instance_id = :instance AND coalesce(kind, 'instance') = 'instance')
          AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
          AND (:kinds IS NULL OR coalesce(kind, 'instance') IN (SELECT value FROM json_each(:kinds)))
        ORDER BY seq LIMIT ${batch}`),
      one: database.prepare('SELECT * FROM events WHERE instance_id = ? AND seq > ? ORDER BY seq LIMIT 500'),
      named: database.prepare(
        `SELECT instance_id FROM events WHERE (instance_id = ?1 OR instance_name = ?1) AND kind IS NULL
          ORDER BY seq DESC LIMIT 1`,
      ),
      name: database.prepare(
        'SELECT instance_name FROM events WHERE instance_id = ? ORDER BY seq DESC LIMIT 1',
      ),
      trim: database.prepare('DELETE FROM events WHERE seq <= ?'),
    };
    this.#keep = keep;
    this.#recent = new RecentEvents(recent);
    const last = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'").get();
    this.#seq = Number(last?.seq ?? 0);
    const first = database.prepare('SELECT min(seq) AS seq FROM events').get();
    this.#oldest = Number(first?.seq ?? this.#seq + 1);
  }

  /** Number of the newest event. */
  get last(): number {
    return this.#seq;
  }

  /** How many are held. */
  get size(): number {
    return this.#seq - this.#oldest + 1;
  }

  /** Ends all readers. What comes later is of nobody's concern here: whoever owns the data directory next sees for itself. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#live.emit('end');
    this.#live.removeAllListeners();
  }

  /** Undefined once the log is closed. */
  append(about: About, type: string, data: Record<string, unknown>): InstanceEvent | undefined {
    if (this.#closed) return undefined;
    const at = new Date().toISOString();
    const { id, name } = about;
    const kind = about.kind === undefined || about.kind === 'instance' ? null : about.kind;
    const text = JSON.stringify(data);
    this.#seq = Number(this.#statements.insert.run(at, id, name, kind, type, text).lastInsertRowid);
    const event = toEvent({
      seq: this.#seq,
      at,
      instance_id: id,
      instance_name: name,
      kind,
      type,
      data: text,
    });
    this.#recent.add(event);
    this.#live.emit('event', event);
    this.#wakeReaders();
    // Last: it has been stored and told, whether or not the old ones can go.
    if (this.#seq % trimEvery === 0) this.#trim();
    return event;
  }

  /** Stored events of one instance, oldest first, at most 500. */
  of(instanceId: string, since = 0): InstanceEvent[] {
    return this.#statements.one.all(instanceId, since).map((row) => toEvent(row as unknown as Row));
  }

  /** The id of an instance that events tell of, also when it is gone: by id, or by its last name. */
  idOf(idOrName: string): string | undefined {
    return this.#statements.named.get(idOrName)?.instance_id as string | undefined;
  }

  /** What an instance was called last. */
  nameOf(instanceId: string): string | undefined {
    return this.#statements.name.get(instanceId)?.instance_name as string | undefined;
  }

  /** Called for each new event, at once, until the returned function is called. */
  subscribe(listener: (event: InstanceEvent) => void): () => void {
    this.#live.on('event', listener);
    return () => this.#live.off('event', listener);
  }

  /** As {@link EventLog.readBatches}, one by one. */
  async *read(options: ReadOptions = {}): AsyncGenerator<InstanceEvent> {
    for await (const events of this.readBatches(options)) {
      for (const event of events) {
        yield event;
        if (options.signal?.aborted || this.#closed) return;
      }
    }
  }

  /**
   * Events after `since`, then the new ones; what was asked for and is not held any more is told by a `gap`. A slow reader holds
   * nothing in memory but the batch it has in hand: it is woken by what is new, and reads on from where it is.
   */
  async *readBatches(options: ReadOptions = {}): AsyncGenerator<readonly InstanceEvent[]> {
    const { since = this.#seq, follow = true, signal } = options;
    let position = since;
    let wake = Promise.withResolvers<void>();
    const look = () => wake.resolve();
    this.#live.on('wake', look).once('end', look);
    signal?.addEventListener('abort', look);
    try {
      while (!signal?.aborted && !this.#closed) {
        wake = Promise.withResolvers();
        const gap = this.#gap(position);
        if (gap !== undefined) {
          position = gap.seq;
          yield [gap];
          continue;
        }
        const { events, until } = this.#next(position, options);
        position = until;
        if (events.length > 0) yield events;
        else if (until < this.#seq) await new Promise((resolve) => setImmediate(resolve));
        else if (!follow) return;
        else await wake.promise;
      }
    } finally {
      this.#live.off('wake', look).off('end', look);
      signal?.removeEventListener('abort', look);
    }
  }

  /** What fits among the next ones, and the number up to which everything has been looked at. */
  #next(since: number, options: ReadOptions): { events: readonly InstanceEvent[]; until: number } {
    const recent = this.#recent.after(since, batch);
    if (recent !== undefined) return { events: fitting(recent, options), until: recent.at(-1)?.seq ?? since };
    const until = Math.min(since + stretch, this.#seq);
    const list = (values: readonly string[] | undefined) => (values ? JSON.stringify(values) : null);
    const rows = this.#statements.some.all({
      since,
      until,
      instance: options.instanceId ?? null,
      types: list(options.types),
      kinds: list(options.kinds),
    }) as unknown as Row[];
    return { events: rows.map(toEvent), until: rows.length < batch ? until : (rows.at(-1)?.seq ?? until) };
  }

  #gap(since: number): InstanceEvent | undefined {
    const ahead = since > this.#seq;
    if (!ahead && since + 1 >= this.#oldest) return undefined;
    const resource = { kind: 'log', id: '', name: '' };
    const seq = ahead ? this.#seq : this.#oldest - 1;
    // A number from beyond the end is of another log: one that was lost, and begun anew.
    const data = ahead
      ? { reason: 'ahead', asked: since, last: seq }
      : { reason: 'trimmed', from: since + 1, to: seq };
    const at = new Date().toISOString();
    return { seq, at, resource, instanceId: '', instanceName: '', type: 'gap', data };
  }

  #trim(): void {
    const last = this.#seq - this.#keep;
    if (last < this.#oldest) return;
    this.#statements.trim.run(last);
    this.#oldest = last + 1;
  }

  /** Once a turn: of a burst of events each reader is woken, and written to, once. */
  #wakeReaders(): void {
    if (this.#waking) return;
    this.#waking = true;
    setImmediate(() => {
      this.#waking = false;
      this.#live.emit('wake');
    });
  }
}

function fitting(
  events: readonly InstanceEvent[],
  { instanceId, types, kinds }: ReadOptions,
): readonly InstanceEvent[] {
  if (instanceId === undefined && types === undefined && kinds === undefined) return events;
  return events.filter(
    (event) =>
      (instanceId === undefined || event.instanceId === instanceId) &&
      (types === undefined || types.includes(event.type)) &&
      (kinds === undefined || kinds.includes(event.resource.kind)),
  );
}

function toEvent(row: Row): InstanceEvent {
  const { kind, instance_id: id, instance_name: name } = row;
  return {
    seq: row.seq,
    at: row.at,
    resource: { kind: kind ?? 'instance', id, name },
    instanceId: kind === null ? id : '',
    instanceName: kind === null ? name : '',
    type: row.type,
    data: JSON.parse(row.data) as Record<string, unknown>,
  };
}

/** As {@link EventLog.append}: what happened has happened, whether or not there is room to tell of it. */
export function noteEvent(events: EventLog, about: About, type: string, data: Record<string, unknown>): void {
  try {
    events.append(about, type, data);
  } catch (error) {
    process.emitWarning(`An event of ${about.name} could not be stored (${type}): ${String(error)}`);
  }
}
