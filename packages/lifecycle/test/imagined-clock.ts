import type { Clock } from '../src/index.ts';

/** Time that jumps to the next thing that is due as soon as nobody has anything left to do now. */
export class ImaginedClock implements Clock {
  time = 0;
  /** The sleeps that were slept to their end. */
  readonly slept: number[] = [];
  readonly #due = new Map<() => void, number>();

  now(): number {
    return this.time;
  }

  /** Something that the world does at a time. */
  at(time: number, happen: () => void): void {
    this.#due.set(happen, time);
  }

  sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        this.#due.delete(wake);
        resolve();
      };
      const wake = () => {
        this.slept.push(milliseconds);
        end();
      };
      this.#due.set(wake, this.time + milliseconds);
      signal.addEventListener('abort', end, { once: true });
      setImmediate(() => this.#jump());
    });
  }

  #jump(): void {
    const next = [...this.#due].sort(([, one], [, other]) => one - other)[0];
    if (next === undefined) return;
    const [happen, time] = next;
    this.#due.delete(happen);
    this.time = time;
    happen();
    if (this.#due.size > 0) setImmediate(() => this.#jump());
  }
}
