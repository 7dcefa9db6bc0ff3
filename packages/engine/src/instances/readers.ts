import type { GuestExecConnection } from '../guest/guest.ts';

/** Who reads the output of the image's own process. A foreground run waits for them before the VM goes away. */
export class Readers {
  #reading = 0;
  #seen = false;
  /** How many runs there were: nobody waits for the readers of one that is over. */
  #run = 0;
  #wake = Promise.withResolvers<void>();

  /** Counts a connection until its output has been read to the end, or it was let go. */
  add(connection: GuestExecConnection): void {
    this.#reading += 1;
    this.#seen = true;
    const done = () => {
      this.#reading -= 1;
      this.#notify();
    };
    connection.exit.then(done, done);
  }

  clear(): void {
    this.#seen = false;
    this.#run += 1;
    this.#notify();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** Resolves when somebody has read and nobody reads any more; after `firstMs` also when nobody ever came. */
  async drained(firstMs: number): Promise<void> {
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(patience.resolve, firstMs);
    try {
      let waiting = true;
      const run = this.#run;
      void patience.promise.then(() => {
        waiting = false;
        this.#notify();
      });
      while (run === this.#run && (this.#reading > 0 || (!this.#seen && waiting))) await this.#wake.promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
