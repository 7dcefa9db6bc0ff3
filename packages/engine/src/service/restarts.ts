import { isVivError, VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import type { Instance } from '../instances/instance.ts';
import { startInstance } from '../instances/start.ts';
import { stopInstance } from '../instances/stop.ts';
import { longestTimerMs } from '../instances/times.ts';
import { decide, persist } from './apply.ts';
import { type Clock, growingPause } from './clock.ts';
import { afterFailure, afterRefusal, exhausted, hasAttempts, pauseBefore } from './restart-rule.ts';
import { Slots } from './slots.ts';

/** Starts under way at a time: a host that has just come up has more to do. */
const atOnce = 4;

/**
 * Starts what is due. What is due, and when, each record says itself (`restart.nextAttemptAt`); here are only the timers, so that
 * nothing is lost with this process.
 */
export class Restarts implements Disposable {
  readonly #context: Context;
  readonly #clock: Clock;
  readonly #slots = new Slots(atOnce);
  readonly #timers = new Map<Instance, { at: string; timer?: Disposable }>();
  /** When the stop of one that is unhealthy is tried again. */
  readonly #stops = new Map<Instance, Disposable>();
  #closed = false;

  constructor(context: Context, clock: Clock) {
    this.#context = context;
    this.#clock = clock;
  }

  /** Called after every change. */
  look(instance: Instance): void {
    const { nextAttemptAt: at, failing } = instance.record.restart ?? {};
    // What a predecessor has not brought to an end.
    if (
      failing &&
      instance.state === 'Error' &&
      instance.operation === undefined &&
      !this.#stops.has(instance)
    )
      this.#endLater(instance, 1);
    const held = this.#timers.get(instance);
    if (held !== undefined && held.at === at && !instance.gone) return;
    held?.timer?.[Symbol.dispose]();
    this.#timers.delete(instance);
    // One in Error is looked at again once somebody has brought it to Stopped.
    if (at === undefined || instance.gone || this.#closed || instance.state === 'Error') return;
    const due: { at: string; timer?: Disposable } = { at };
    this.#timers.set(instance, due);
    due.timer = this.#clock.after(this.#pause(instance, at), () => void this.#attempt(instance, at));
  }

  /** A clock that was set back must not make anything wait for longer than its policy says. Milliseconds. */
  #pause({ record }: Instance, at: string): number {
    const longest = Math.min(pauseBefore(record), longestTimerMs);
    return Math.max(0, Math.min(Date.parse(at) - this.#clock.now(), longest));
  }

  /** All that are due at once, after a reboot of the host: by priority, each with its pause behind it. */
  async startAll(due: readonly Instance[]): Promise<void> {
    let last: Promise<unknown> = Promise.resolve();
    // Here they wait for their turn, and for no timer.
    for (const instance of due) {
      const { nextAttemptAt: at } = instance.record.restart ?? {};
      if (at !== undefined) this.#timers.set(instance, { at });
    }
    for (const instance of due) {
      const { at } = this.#timers.get(instance) ?? {};
      if (at === undefined) continue;
      const release = await this.#slots.take(rankOf(instance));
      if (this.#closed) return release();
      last = this.#run(instance, at).finally(release);
      const { delayMs = 0 } = instance.record.spec.autostart ?? {};
      if (delayMs > 0) {
        await last;
        await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
      }
    }
    await last;
  }

  async #attempt(instance: Instance, at: string): Promise<void> {
    const release = await this.#slots.take(rankOf(instance));
    try {
      await this.#run(instance, at);
    } finally {
      release();
    }
  }

  async #run(instance: Instance, at: string): Promise<void> {
    try {
      await this.#start(instance, at);
    } finally {
      if (this.#timers.get(instance)?.at === at) this.#timers.delete(instance);
      this.look(instance);
    }
  }

  async #start(instance: Instance, at: string): Promise<void> {
    // Whatever somebody does with it goes first.
    while (instance.held !== undefined) await instance.held.ended;
    const { state, record } = instance;
    if (this.#closed || instance.gone || record.restart?.nextAttemptAt !== at) return;
    if (state === 'Error') return;
    if (state !== 'Stopped') return this.#settle(instance);
    try {
      await startInstance(this.#context, instance, { byPolicy: true });
    } catch (thrown) {
      this.#failed(instance, VivError.from(thrown));
    }
  }

  /** Somebody was faster, and it is up or saved. */
  #settle(instance: Instance): void {
    instance.change({ restart: { attempts: 0, ...instance.record.restart, nextAttemptAt: undefined } });
    persist(this.#context, instance);
  }

  #failed(instance: Instance, error: VivError): void {
    // What was interrupted because the engine is being closed stays due.
    if (this.#closed || instance.gone) return;
    // Somebody came between: that was no attempt.
    if (error.code === 'busy') return;
    const { record } = instance;
    const { code, message } = error;
    if (code === 'insufficient_resources') decide(instance, afterRefusal(record, message, this.#clock.now()));
    else {
      decide(instance, afterFailure(record, message, this.#clock.now()));
      instance.emit('restart_failed', { error: { code, message } });
    }
    persist(this.#context, instance);
  }

  /**
   * Its health check has failed: it is ended, where its policy starts it again. A stop that fails is tried again, later each time, for as
   * long as it is unhealthy; by force, where nobody knows whether its VMM is gone. `failures`: of stops, in a row.
   */
  async unhealthy(instance: Instance, failures = 0): Promise<void> {
    this.#forget(instance);
    while (instance.held !== undefined) await instance.held.ended;
    if (this.#closed || !toBeEnded(instance, failures > 0)) return;
    const { record } = instance;
    const { restart } = record;
    const force = instance.state === 'Error';
    if (!force && !hasAttempts(record, this.#clock.now())) {
      decide(instance, exhausted({ attempts: 0, ...restart, lastReason: 'health_check_failed' }));
      return persist(this.#context, instance);
    }
    instance.change({
      restart: { attempts: 0, ...restart, lastReason: 'health_check_failed', failing: true },
    });
    persist(this.#context, instance);
    try {
      await stopInstance(this.#context, instance, { force, holdsBack: false });
    } catch (error) {
      if (this.#closed || instance.gone) return;
      // Somebody came between: what they do is over soon.
      if (isVivError(error, 'busy')) return this.unhealthy(instance, failures);
      this.#notEnded(instance, failures + 1, VivError.from(error));
    }
  }

  #notEnded(instance: Instance, failures: number, { message }: VivError): void {
    // From Error on the next attempt is what ends it; else it may get well before that.
    if (instance.state !== 'Error')
      instance.change({ restart: { attempts: 0, ...instance.record.restart, failing: undefined } });
    instance.emit('warning', {
      message: `Unhealthy, and not stopped: ${message}. Tried again in ${growingPause(failures) / 1000} s`,
    });
    this.#endLater(instance, failures);
  }

  #endLater(instance: Instance, failures: number): void {
    this.#forget(instance);
    if (this.#closed || instance.gone) return;
    const again = this.#clock.after(growingPause(failures), () => void this.unhealthy(instance, failures));
    this.#stops.set(instance, again);
  }

  #forget(instance: Instance): void {
    this.#stops.get(instance)?.[Symbol.dispose]();
    this.#stops.delete(instance);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const { timer } of this.#timers.values()) timer?.[Symbol.dispose]();
    this.#timers.clear();
    for (const timer of this.#stops.values()) timer[Symbol.dispose]();
    this.#stops.clear();
  }
}

/** Whether its policy has it ended for being unhealthy; in Error where that (`tried`) is what has failed. */
function toBeEnded({ state, health, record: { spec, restart } }: Instance, tried: boolean): boolean {
  if (spec.restartPolicy === undefined || restart?.blockedReason !== undefined) return false;
  if (state === 'Error') return tried || restart?.failing === true;
  return state === 'Running' && health?.status === 'unhealthy';
}

export function rankOf({ record }: Instance): number {
  return record.spec.autostart?.priority ?? 0;
}
