import { VivError } from '@vivarium/model';

/** What a pool has under way and nobody awaits: its makings, hand-outs and deletions. */
export class Work {
  readonly #running = new Set<Promise<void>>();
  readonly #failed: (error: VivError) => void;

  /** `failed`: told of what its work should have dealt with itself. */
  constructor(failed: (error: VivError) => void) {
    this.#failed = failed;
  }

  begin(work: Promise<void>): void {
    const guarded = work
      .catch((error: unknown) => this.#failed(VivError.from(error)))
      .finally(() => this.#running.delete(guarded));
    this.#running.add(guarded);
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
