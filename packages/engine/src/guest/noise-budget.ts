/** What may come at once, in units of {@link HostConnection.noise}: leftovers of an earlier conversation fit in. */
const burst = 65_536;
const perSecond = 10_000;

/** A guest may send a little that serves nobody, never a flood of it. */
export class NoiseBudget {
  #seen = 0;
  #left = burst;
  #at = 0;

  /** Given the noise so far (a sum that only grows), says whether the guest is still within bounds. */
  allows(noise: number): boolean {
    if (noise === this.#seen) return true;
    const now = performance.now();
    if (this.#at > 0) this.#left = Math.min(burst, this.#left + ((now - this.#at) / 1000) * perSecond);
    this.#at = now;
    this.#left -= noise - this.#seen;
    this.#seen = noise;
    return this.#left >= 0;
  }
}
