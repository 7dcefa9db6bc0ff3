import { type OperationInfo, type Progress, type ProgressListener, VivError } from '@vivarium/model';
import { allOver } from '../all-over.ts';
import { Reverter, type Undo } from './reverter.ts';
import type { Tracked } from './tracked.ts';

/** Who waits for an operation, and how. */
export interface Caller {
  /** When every caller has gone, the operation is cancelled. */
  signal?: AbortSignal;
  onProgress?: ProgressListener;
}

interface OperationOptions {
  action: string;
  /** Two requests with the same key do the same thing. */
  key: string;
  deadlineMs: number;
  /** It gives way to every other one. Default false. */
  yields?: boolean;
  /** Has it seen from outside; is given what cancels it. */
  track: (cancel: (by: string) => void) => Tracked;
}

/** One action under way on one instance. Its steps run under `signal` and say how they are taken back. */
export class Operation {
  readonly action: string;
  /** How it is seen from outside. */
  readonly tracked: Tracked;
  /** Two requests with the same key do the same thing. */
  readonly key: string;
  /** It gives way to every other one. */
  readonly yields: boolean;
  readonly startedAt = new Date().toISOString();
  readonly reverter = new Reverter();
  readonly #abort = new AbortController();
  readonly #callers = new Set<Caller>();
  readonly #settled = Promise.withResolvers<unknown>();
  readonly #meanwhile: Promise<unknown>[] = [];
  readonly #deadline: NodeJS.Timeout;

  constructor({ action, key, deadlineMs, yields = false, track }: OperationOptions) {
    this.action = action;
    this.key = key;
    this.yields = yields;
    this.tracked = track((by) => this.interrupt(by));
    this.#deadline = setTimeout(
      () => this.#abort.abort(new VivError('timeout', `${action} did not end within ${deadlineMs / 1000} s`)),
      deadlineMs,
    );
    const settle = () => this.forget();
    this.#settled.promise.then(settle, settle);
  }

  get id(): string {
    return this.tracked.id;
  }

  /** Fires on a deadline, on an interruption, and when the last caller has gone. Its reason is a VivError. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get info(): OperationInfo {
    return {
      id: this.id,
      action: this.action,
      startedAt: this.startedAt,
      ...(this.tracked.step === undefined ? {} : { step: this.tracked.step }),
    };
  }

  /** Names the step that follows, and refuses to begin it when the operation has been cancelled. */
  step(name: string): void {
    this.signal.throwIfAborted();
    this.tracked.stepped(name);
  }

  /** How the step just done is taken back. */
  undo(what: string, undo: Undo): void {
    this.reverter.add(what, undo);
  }

  /** Work that nothing else waits for; the operation has not succeeded before it has. */
  meanwhile(work: Promise<unknown>): void {
    // Who awaits `allDone` hears of it.
    work.catch(() => undefined);
    this.#meanwhile.push(work);
  }

  /** Resolves once all of that has ended. @throws what the first of it has failed with. */
  async allDone(): Promise<void> {
    await allOver(this.#meanwhile);
  }

  progress(progress: Progress): void {
    this.tracked.progressed(progress);
    for (const caller of this.#callers) caller.onProgress?.(progress);
  }

  interrupt(by: string): void {
    this.#abort.abort(new VivError('cancelled', `The ${this.action} was interrupted by a ${by}.`));
  }

  /** Lets the process end though this operation hasn't. */
  forget(): void {
    clearTimeout(this.#deadline);
  }

  /** Settles when the operation has; never rejects. */
  get ended(): Promise<void> {
    return this.#settled.promise.then(
      () => undefined,
      () => undefined,
    );
  }

  settle(outcome: Promise<unknown>): void {
    outcome.then(this.#settled.resolve, this.#settled.reject);
    // Every caller hears of a failure through `join`; with no caller left nobody does, and the journal has it.
    this.#settled.promise.catch(() => undefined);
  }

  /** Waits with the others. A caller that goes away stops waiting at once; the last one takes the operation along. */
  async join<T>(caller: Caller): Promise<T> {
    caller.signal?.throwIfAborted();
    this.#callers.add(caller);
    const gone = Promise.withResolvers<never>();
    const leave = () => {
      this.#callers.delete(caller);
      const last = this.#callers.size === 0;
      const error = new VivError('cancelled', `The ${this.action} was cancelled.`, {
        cause: caller.signal?.reason,
      });
      if (!last) gone.reject(error);
      // The last caller waits for the undo: when its call has ended, nothing is left of it.
      else this.#abort.abort(error);
    };
    caller.signal?.addEventListener('abort', leave, { once: true });
    try {
      return (await Promise.race([this.#settled.promise, gone.promise])) as T;
    } finally {
      caller.signal?.removeEventListener('abort', leave);
      this.#callers.delete(caller);
    }
  }
}
