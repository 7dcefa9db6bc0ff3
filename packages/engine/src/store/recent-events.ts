import type { InstanceEvent } from '@vivarium/model';

/** The newest events, as the same objects for every reader: who keeps up costs no query. */
export class RecentEvents {
  readonly #keep: number;
  #events: InstanceEvent[] = [];

  constructor(keep: number) {
    this.#keep = keep;
  }

  add(event: InstanceEvent): void {
    this.#events.push(event);
    if (this.#events.length > 2 * this.#keep) this.#events = this.#events.slice(-this.#keep);
  }

  /** Up to `most` events after a number; undefined where some of them are held by the store alone. */
  after(seq: number, most: number): readonly InstanceEvent[] | undefined {
    const [oldest] = this.#events;
    if (oldest === undefined || seq + 1 < oldest.seq) return undefined;
    const from = seq + 1 - oldest.seq;
    return this.#events.slice(from, from + most);
  }
}
