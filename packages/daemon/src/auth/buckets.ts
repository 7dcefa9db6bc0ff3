export interface Rate {
  /** Tokens a bucket gets back. */
  readonly perSecond: number;
  /** Tokens a full bucket has. */
  readonly burst: number;
}

/** Keys are the outside's to invent: beyond this the one used longest ago is forgotten. */
const maxKeys = 10_000;

/** Token buckets by key; one that is full again is not kept. */
export class Buckets {
  readonly #rate: Rate;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Milliseconds until there is a token; 0 where there is one. */
  wait(key: string, now = performance.now()): number {
    const missing = 1 - this.#tokens(key, now);
    return missing <= 0 ? 0 : Math.ceil((missing / this.#rate.perSecond) * 1000);
  }

  /** Takes a token where there is one; else answers the milliseconds until then. */
  take(key: string, now = performance.now()): number {
    const wait = this.wait(key, now);
    if (wait > 0) return wait;
    const tokens = this.#tokens(key, now) - 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens, at: now });
    if (this.#buckets.size > maxKeys) this.#buckets.delete(this.#buckets.keys().next().value ?? '');
    return 0;
  }

  #tokens(key: string, now: number): number {
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return this.#rate.burst;
    return Math.min(this.#rate.burst, bucket.tokens + ((now - bucket.at) / 1000) * this.#rate.perSecond);
  }
}
