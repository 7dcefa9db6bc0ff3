import { EventEmitter } from 'node:events';
import type { PoolEvent } from '@vivarium/model';

/** How many of the newest events are held. */
const keep = 1000;

/**
 * What happened in a pool, in memory. Nobody is waited for: a reader who falls behind what is held goes on with the oldest
 * event that is, and sees by the numbers that some are missing.
 */
export class PoolLog {
  readonly #pool: string;
  readonly #now: () => number;
  readonly #events: PoolEvent[] = [];
  readonly #changes = new EventEmitter<{ change: [] }>().setMaxListeners(0);
  #last: number;
  #ended = false;

  readonly #also: ((event: PoolEvent) => void) | undefined;

  /** `also` is told of each event at once. */
  constructor(pool: string, now: () => number, also?: (event: PoolEvent) => void) {
    this.#also = also;
    this.#pool = pool;
    this.#now = now;
    // Above every number of an earlier process, so that a reader who knows one of those misses nothing of this one.
    this.#last = now();
  }

  add(type: PoolEvent['type'], data: Record<string, unknown> = {}, instanceId?: string): void {
    if (this.#ended) return;
    this.#last += 1;
    const at = new Date(this.#now()).toISOString();
    const event = { seq: this.#last, at, pool: this.#pool, type, data };
    const whole = instanceId === undefined ? event : { ...event, instanceId };
    this.#events.push(whole);
    this.#also?.(whole);
    if (this.#events.length > keep) this.#events.shift();
    this.#changes.emit('change');
  }

  /** Readers get what there is, and then their end. */
  end(): void {
    this.#ended = true;
    this.#changes.emit('change');
  }

  /** Events after `since` (default: from now), then new ones as they come. */
  read({
    since = this.#last,
    signal,
  }: {
    since?: number;
    signal?: AbortSignal;
  } = {}): AsyncIterable<PoolEvent> {
    return this.#read(Math.min(since, this.#last), signal);
  }

  async *#read(after: number, signal: AbortSignal | undefined): AsyncGenerator<PoolEvent> {
    let since = after;
    let wake = Promise.withResolvers<void>();
    const look = () => wake.resolve();
    this.#changes.on('change', look);
    signal?.addEventListener('abort', look);
    try {
      while (!signal?.aborted) {
        wake = Promise.withResolvers();
        const event = this.#after(since);
        if (event !== undefined) {
          since = event.seq;
          yield event;
        } else if (this.#ended) return;
        else await wake.promise;
      }
    } finally {
      this.#changes.off('change', look);
      signal?.removeEventListener('abort', look);
    }
  }

  /** Numbers have no gaps, so the place of the next one is known. */
  #after(since: number): PoolEvent | undefined {
    const [oldest] = this.#events;
    return oldest && this.#events[Math.max(0, since + 1 - oldest.seq)];
  }
}
