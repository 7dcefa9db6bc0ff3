/** Real or imagined time. Tests bring their own, so that nothing has to sleep. */
export interface Clock {
  /** Milliseconds; only differences matter. */
  now(): number;
  /** Resolves after so many milliseconds, or as soon as the signal fires. Never rejects. */
  sleep(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** Waits that grow: `initialMs`, then times `factor` after each check, up to `maxMs`. */
export interface Backoff {
  initialMs: number;
  /** Default 2; at least 1. */
  factor?: number;
  maxMs: number;
}

export interface WaitOptions<S extends string> {
  /** States that may be seen on the way. Given: any other one fails at once. Absent: every state is waited through. */
  intermediates?: readonly S[];
  /** Milliseconds. Default 60,000. The first check is made whatever it is. */
  timeoutMs?: number;
  /** Milliseconds between two checks, or a growing wait. Default 50 ms growing to 1 s. */
  interval?: number | Backoff;
  signal?: AbortSignal;
  /** Tells that it is worth looking again, so that nobody has to wait for the interval. Returns what ends it. */
  changes?: (changed: () => void) => () => void;
  clock?: Clock;
}

/** Why a wait ended without the state. */
export class WaitError extends Error {
  override readonly name = 'WaitError';
  readonly reason: 'timeout' | 'unexpected_state' | 'cancelled';
  /** The last state seen; undefined where not even the first check answered. */
  readonly state: string | undefined;

  constructor(reason: WaitError['reason'], message: string, state: string | undefined, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
    this.state = state;
  }
}

const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      signal.addEventListener('abort', end, { once: true });
    }),
};

const defaultInterval: Backoff = { initialMs: 50, factor: 2, maxMs: 1000 };

/**
 * Waits until the probe answers one of the final states, and answers that. It checks once before it looks at the deadline
 * or the signal, so that what is already true is found even then. A probe that throws ends the wait with its error; one that
 * does not settle is given up at the deadline.
 *
 * @throws WaitError `timeout`, `unexpected_state` (naming it), `cancelled`.
 * @throws RangeError for an interval that isn't above 0.
 */
export async function waitForState<S extends string>(
  probe: (signal: AbortSignal) => S | Promise<S>,
  final: S | readonly S[],
  options: WaitOptions<S> = {},
): Promise<S> {
  const wait = new Wait([final].flat() as S[], options);
  const stop = new AbortController();
  const unsubscribe = options.changes?.(() => wait.wake());
  try {
    return await wait.run(probe, stop.signal);
  } finally {
    unsubscribe?.();
    stop.abort();
  }
}

const late = Symbol('late');

class Wait<S extends string> {
  readonly #final: readonly S[];
  readonly #options: WaitOptions<S>;
  readonly #clock: Clock;
  readonly #intervals: Generator<number, never>;
  readonly #timeoutMs: number;
  /** Something changed since the last check began. */
  #stale = false;
  #wakeUp: () => void = () => {};
  #last: S | undefined;

  constructor(final: readonly S[], options: WaitOptions<S>) {
    this.#final = final;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#intervals = intervals(options.interval ?? defaultInterval);
    this.#timeoutMs = options.timeoutMs ?? 60_000;
  }

  wake(): void {
    this.#stale = true;
    this.#wakeUp();
  }

  async run(probe: (signal: AbortSignal) => S | Promise<S>, ended: AbortSignal): Promise<S> {
    const interval = this.#intervals.next().value;
    const begun = this.#clock.now();
    const left = () => this.#timeoutMs - (this.#clock.now() - begun);
    // The first check is made however late it is, but a probe that hangs must not hang the caller.
    let patience = Math.max(left(), interval);
    for (let pause = interval; ; pause = this.#intervals.next().value) {
      this.#stale = false;
      const state = await this.#within(patience, ended, (signal) => probe(signal));
      if (state !== late) {
        this.#last = state;
        if (this.#final.includes(state)) return state;
        this.#refuseUnlisted(state);
      }
      this.#refuseCancelled();
      if (state === late || left() <= 0) throw this.#timedOut();
      await this.#pause(Math.min(pause, left()), ended);
      this.#refuseCancelled();
      patience = Math.max(left(), 1);
    }
  }

  /** Sleeps until the interval is over, something changed, or the caller gives up. */
  async #pause(milliseconds: number, ended: AbortSignal): Promise<void> {
    if (this.#stale) return;
    const awake = new AbortController();
    this.#wakeUp = () => awake.abort();
    await this.#clock.sleep(milliseconds, anyOf(ended, awake.signal, this.#options.signal));
    this.#wakeUp = () => {};
  }

  async #within(
    milliseconds: number,
    ended: AbortSignal,
    ask: (signal: AbortSignal) => S | Promise<S>,
  ): Promise<S | typeof late> {
    const given = this.#options.signal;
    // A signal that had fired before does not take the first check away.
    const over = given?.aborted === true;
    const enough = new AbortController();
    const signal = anyOf(ended, enough.signal, over ? undefined : given);
    const timer = over ? this.#clock.sleep(0, ended) : this.#clock.sleep(milliseconds, signal);
    const answer = Promise.resolve().then(() => ask(signal));
    // Whoever loses the race is told, and may not be heard of again.
    answer.catch(() => {});
    try {
      return await Promise.race([answer, timer.then((): typeof late => late)]);
    } catch (error) {
      if (given?.aborted) return late;
      throw error;
    } finally {
      enough.abort();
    }
  }

  #refuseUnlisted(state: S): void {
    const { intermediates } = this.#options;
    if (intermediates === undefined || intermediates.includes(state)) return;
    const message = `unexpected state ${state} while waiting for ${this.#wanted()} (expected on the way: ${intermediates.join(', ') || 'none'})`;
    throw new WaitError('unexpected_state', message, state);
  }

  #refuseCancelled(): void {
    const { signal } = this.#options;
    if (!signal?.aborted) return;
    throw new WaitError('cancelled', `gave up waiting for ${this.#wanted()}`, this.#last, signal.reason);
  }

  #timedOut(): WaitError {
    const seen = this.#last === undefined ? 'no state could be observed' : `the state is ${this.#last}`;
    return new WaitError(
      'timeout',
      `waited ${this.#timeoutMs} ms for ${this.#wanted()}: ${seen}`,
      this.#last,
    );
  }

  #wanted(): string {
    return this.#final.join(' or ');
  }
}

function anyOf(...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

function* intervals(interval: number | Backoff): Generator<number, never> {
  const {
    initialMs,
    factor = 2,
    maxMs,
  } = typeof interval === 'number' ? { initialMs: interval, factor: 1, maxMs: interval } : interval;
  if (!(initialMs > 0) || !(maxMs > 0))
    throw new RangeError(`an interval must be above 0 ms, not ${Math.min(initialMs, maxMs)}`);
  if (!(factor >= 1)) throw new RangeError(`a backoff must not shrink: factor ${factor}`);
  for (let current = Math.min(initialMs, maxMs); ; current = Math.min(current * factor, maxMs)) yield current;
}
