/** What a pool goes by; tests have their own. */
export interface PoolClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls once after so many milliseconds, unless it is disposed of before. */
  after(milliseconds: number, call: () => void): Disposable;
  /** 0 to 1. */
  random(): number;
}

export const hostClock: PoolClock = {
  now: Date.now,
  after: (milliseconds, call) => {
    const timer = setTimeout(call, milliseconds);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
  random: Math.random,
};

/** A clock whose timers all end with it. */
export class OwnTimers implements PoolClock, Disposable {
  readonly #clock: PoolClock;
  readonly #timers = new Set<Disposable>();
  #disposed = false;

  constructor(clock: PoolClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  random(): number {
    return this.#clock.random();
  }

  after(milliseconds: number, call: () => void): Disposable {
    if (this.#disposed) return { [Symbol.dispose]: () => undefined };
    const inner = this.#clock.after(milliseconds, () => {
      this.#timers.delete(timer);
      call();
    });
    const timer: Disposable = {
      [Symbol.dispose]: () => {
        this.#timers.delete(timer);
        inner[Symbol.dispose]();
      },
    };
    this.#timers.add(timer);
    return timer;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
  }
}
