/** So many at a time; the others wait, the highest rank first and then in the order in which they came. */
export class Slots {
  #free: number;
  readonly #waiting: { rank: number; go: () => void }[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves with what gives the place back; doing so twice is harmless. */
  async take(rank = 0): Promise<() => void> {
    if (this.#free > 0) this.#free -= 1;
    else {
      await new Promise<void>((go) => {
        const behind = this.#waiting.findIndex((other) => other.rank < rank);
        this.#waiting.splice(behind === -1 ? this.#waiting.length : behind, 0, { rank, go });
      });
    }
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next.go();
    };
  }
}
