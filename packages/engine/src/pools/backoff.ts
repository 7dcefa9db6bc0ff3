import type { PoolInfo, VivError } from '@vivarium/model';
import type { PoolClock } from './clock.ts';

/** Milliseconds; each pause is between half and all of what its turn says. */
const firstPause = 1000;
const longestPause = 60_000;
/** Milliseconds after which a VM that did not last is forgotten. */
const relapseMs = 10 * longestPause;

export interface Pause {
  attempts: number;
  milliseconds: number;
  /** RFC 3339. */
  retryAt: string;
}

/** When a pool may try again after a failure: later each time, never never. */
export class Backoff {
  readonly #clock: PoolClock;
  readonly #due: () => void;
  #error: Omit<NonNullable<PoolInfo['lastError']>, 'retryAt'> | undefined;
  #round = 0;
  #failedAt = 0;
  #retryAt = 0;
  #timer: Disposable | undefined;
  #relapses = 0;
  #relapsedAt = Number.NEGATIVE_INFINITY;

  /** `due` is called at the end of each pause. */
  constructor(clock: PoolClock, due: () => void) {
    this.#clock = clock;
    this.#due = due;
  }

  /** The last attempt failed. */
  get failing(): boolean {
    return this.#error !== undefined;
  }

  /** The next attempt is not due yet. */
  get waiting(): boolean {
    return this.#timer !== undefined;
  }

  get lastError(): PoolInfo['lastError'] {
    return (
      this.#error && {
        ...this.#error,
        ...(this.waiting ? { retryAt: new Date(this.#retryAt).toISOString() } : {}),
      }
    );
  }

  /** What an attempt that begins now gives to {@link Backoff.failed}. */
  get round(): number {
    return this.#round;
  }

  /** The pause that follows. Undefined where it has been had: several attempts that were made together are one failure. */
  failed(
    error: VivError,
    { round = this.#round, attempts = (this.#error?.attempts ?? 0) + 1 } = {},
  ): Pause | undefined {
    const now = this.#clock.now();
    const had = this.waiting || (this.failing && round < this.#round);
    const counted = had ? (this.#error?.attempts ?? attempts) : attempts;
    const { code, message } = error;
    this.#error = { code, message, at: new Date(now).toISOString(), attempts: counted };
    if (had) return undefined;
    this.#round += 1;
    const whole = Math.min(firstPause * 2 ** Math.min(counted - 1, 30), longestPause);
    const milliseconds = Math.round(whole / 2 + (this.#clock.random() * whole) / 2);
    this.#failedAt = now;
    this.#wait(now + milliseconds);
    return { attempts: counted, milliseconds, retryAt: new Date(this.#retryAt).toISOString() };
  }

  /**
   * A VM was made and did not last: the first is nothing, from the second on each counts as a failed attempt, whatever
   * succeeded in between. Else a pool whose VMs end at once would make them without end and pause.
   */
  relapsed(error: VivError): Pause | undefined {
    const now = this.#clock.now();
    if (now - this.#relapsedAt > relapseMs) this.#relapses = 0;
    this.#relapsedAt = now;
    if (!this.waiting) this.#relapses += 1;
    return this.#relapses > 1 ? this.failed(error, { attempts: this.#relapses - 1 }) : undefined;
  }

  /** True where it had failed before. */
  succeeded(): boolean {
    const { failing } = this;
    this.dispose();
    this.#error = undefined;
    return failing;
  }

  /** Somebody waits: the next attempt is made at once, but no sooner than a first pause after the last one. */
  hurry(): void {
    if (!this.waiting) return;
    const soonest = Math.max(this.#clock.now(), this.#failedAt + firstPause);
    if (soonest < this.#retryAt) this.#wait(soonest);
  }

  dispose(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #wait(until: number): void {
    this.dispose();
    this.#retryAt = until;
    this.#timer = this.#clock.after(Math.max(0, until - this.#clock.now()), () => {
      this.#timer = undefined;
      this.#due();
    });
  }
}
