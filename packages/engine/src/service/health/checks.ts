import { VivError } from '@vivarium/model';
import type { Instance } from '../../instances/instance.ts';
import type { Clock } from '../clock.ts';
import { upAt } from '../restart-rule.ts';
import { Slots } from '../slots.ts';
import type { ResolvedHealthCheck } from './options.ts';
import { probe } from './probes.ts';
import { afterCheck, type Outcome, starting, unknown } from './status.ts';

const atOnce = 32;

/** The checks of one life of one VM. */
interface Watch {
  readonly check: ResolvedHealthCheck;
  /** RFC 3339: tells one life from the next. */
  readonly startedAt: string | undefined;
  /** Ends what is under way; absent while nothing may be checked. */
  running: AbortController | undefined;
}

/** Looks after what has a health check, as long as it runs. */
export class HealthChecks implements Disposable {
  readonly #clock: Clock;
  readonly #unhealthy: (instance: Instance) => void;
  readonly #slots = new Slots(atOnce);
  readonly #watches = new Map<Instance, Watch>();

  constructor(clock: Clock, unhealthy: (instance: Instance) => void) {
    this.#clock = clock;
    this.#unhealthy = unhealthy;
  }

  /** Called after every change. */
  look(instance: Instance): void {
    const { spec, startedAt } = instance.record;
    const check = spec.healthCheck;
    let watch = this.#watches.get(instance);
    if (check === undefined || instance.gone) {
      watch?.running?.abort();
      this.#watches.delete(instance);
      instance.observeHealth(undefined);
      return;
    }
    if (watch?.check !== check || watch.startedAt !== startedAt) {
      watch?.running?.abort();
      watch = { check, startedAt, running: undefined };
      this.#watches.set(instance, watch);
      instance.observeHealth(starting);
    }
    if (instance.machine === undefined) instance.observeHealth(unknown);
    const checkable = instance.state === 'Running' && instance.guest !== undefined;
    if (checkable && watch.running === undefined) this.#begin(instance, watch);
    if (!checkable) {
      // One that is paused is as well as it was.
      watch.running?.abort();
      watch.running = undefined;
    }
  }

  #begin(instance: Instance, watch: Watch): void {
    const stop = new AbortController();
    watch.running = stop;
    // Those that were started together are not all checked together.
    void this.#keepChecking(
      instance,
      watch.check,
      stop.signal,
      watch.check.intervalMs * this.#clock.random(),
    );
  }

  async #keepChecking(
    instance: Instance,
    check: ResolvedHealthCheck,
    stopped: AbortSignal,
    firstPauseMs: number,
  ): Promise<void> {
    for (let pause = firstPauseMs; ; pause = check.intervalMs) {
      await this.#pause(pause, stopped);
      const release = await this.#slots.take();
      try {
        if (stopped.aborted) return;
        const outcome = await this.#check(instance, check, stopped);
        if (stopped.aborted) return;
        this.#told(instance, check, outcome);
      } finally {
        release();
      }
    }
  }

  /** Never waits for longer than the check may take: a guest that hangs, hangs for its own account. */
  async #check(instance: Instance, check: ResolvedHealthCheck, stopped: AbortSignal): Promise<Outcome> {
    const { guest } = instance;
    if (guest === undefined) return { ok: false, error: 'nobody speaks to its agent' };
    const late = new AbortController();
    const over = Promise.withResolvers<Outcome>();
    const end = (outcome: Outcome) => {
      late.abort(new VivError('timeout', outcome.error ?? ''));
      over.resolve(outcome);
    };
    const stop = () => end({ ok: false, error: 'it was stopped' });
    stopped.addEventListener('abort', stop, { once: true });
    const error = `no answer within ${check.timeoutMs} ms`;
    const timer = this.#clock.after(check.timeoutMs, () => end({ ok: false, error }));
    try {
      const failed = (thrown: unknown): Outcome => ({ ok: false, error: VivError.from(thrown).message });
      return await Promise.race([probe(guest, check, late.signal).catch(failed), over.promise]);
    } finally {
      timer[Symbol.dispose]();
      stopped.removeEventListener('abort', stop);
    }
  }

  #told(instance: Instance, check: ResolvedHealthCheck, outcome: Outcome): void {
    const before = instance.health ?? starting;
    const countsFrom = Date.parse(upAt(instance.record) ?? '') + check.startPeriodMs;
    const now = this.#clock.now();
    const after = afterCheck(before.status === 'unknown' ? starting : before, outcome, check, {
      now,
      countsFrom,
    });
    instance.observeHealth(after);
    if (after.status === before.status) return;
    instance.emit('health', {
      from: before.status,
      to: after.status,
      ...(after.status === 'unhealthy' ? { error: after.lastError, output: after.lastOutput } : {}),
    });
    if (after.status === 'unhealthy') this.#unhealthy(instance);
  }

  async #pause(milliseconds: number, stopped: AbortSignal): Promise<void> {
    if (stopped.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#clock.after(milliseconds, resolve);
    const stop = () => resolve();
    stopped.addEventListener('abort', stop, { once: true });
    await promise;
    stopped.removeEventListener('abort', stop);
    timer[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    for (const { running } of this.#watches.values()) running?.abort();
    this.#watches.clear();
  }
}
