import { isVivError, VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import { deleteInstance } from '../instances/delete.ts';
import type { Instance } from '../instances/instance.ts';
import { type Clock, growingPause } from './clock.ts';
import { Slots } from './slots.ts';

/** Milliseconds between looks at the wall clock, which may be set while a timer runs. */
const lookMs = 10_000;
const atOnce = 16;
/** A delete that takes longer, in milliseconds, is stuck: the others don't wait for it any more. */
const stuckMs = 10_000;

interface Case {
  failures: number;
  /** Milliseconds since 1970. */
  notBefore: number;
  underWay: boolean;
}

/** Deletes what has expired, many at a time: one that can't be deleted is tried again later, and keeps no other one waiting. */
export class Reaper implements Disposable {
  readonly #context: Context;
  readonly #clock: Clock;
  readonly #cases = new Map<Instance, Case>();
  readonly #slots = new Slots(atOnce);
  #timer: { at: number; timer: Disposable } | undefined;
  #closed = false;

  constructor(context: Context, clock: Clock) {
    this.#context = context;
    this.#clock = clock;
  }

  look(instance: Instance): void {
    if (instance.gone || instance.record.expiresAt === undefined) {
      this.#cases.delete(instance);
      return;
    }
    const state = this.#cases.get(instance) ?? { failures: 0, notBefore: 0, underWay: false };
    this.#cases.set(instance, state);
    // What is being deleted is looked at again when that has ended.
    if (!state.underWay) this.#wakeAt(this.#due(instance));
  }

  #due(instance: Instance): number {
    const { notBefore = 0 } = this.#cases.get(instance) ?? {};
    return Math.max(Date.parse(instance.record.expiresAt ?? ''), notBefore);
  }

  #wakeAt(due: number): void {
    if (this.#closed) return;
    const now = this.#clock.now();
    const at = Math.max(now, Math.min(due, now + lookMs));
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.timer[Symbol.dispose]();
    this.#timer = { at, timer: this.#clock.after(at - now, () => this.#sweep()) };
  }

  #sweep(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [instance, state] of this.#cases) {
      if (instance.gone || instance.record.expiresAt === undefined) this.#cases.delete(instance);
      else if (state.underWay) continue;
      else if (this.#due(instance) <= now) void this.#reap(instance, state);
      else next = Math.min(next, this.#due(instance));
    }
    if (next < Number.POSITIVE_INFINITY) this.#wakeAt(next);
  }

  async #reap(instance: Instance, state: Case): Promise<void> {
    state.underWay = true;
    const release = await this.#slots.take();
    const stuck = this.#clock.after(stuckMs, release);
    try {
      // It may have been prolonged while it waited for its turn.
      if (this.#closed || instance.gone || this.#due(instance) > this.#clock.now()) return;
      instance.emit('expired', { expiresAt: instance.record.expiresAt });
      await deleteInstance(this.#context, instance, { force: true });
    } catch (thrown) {
      this.#failed(instance, state, VivError.from(thrown));
    } finally {
      stuck[Symbol.dispose]();
      release();
      state.underWay = false;
      this.look(instance);
    }
  }

  #failed(instance: Instance, state: Case, error: VivError): void {
    if (this.#closed || instance.gone) return;
    // One that somebody has in hand is no failure: it is only early.
    if (!isVivError(error, 'busy')) state.failures += 1;
    state.notBefore = this.#clock.now() + growingPause(state.failures);
    instance.emit('expiry_failed', {
      error: { code: error.code, message: error.message },
      failures: state.failures,
      retryAt: new Date(state.notBefore).toISOString(),
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.timer[Symbol.dispose]();
    this.#cases.clear();
  }
}
