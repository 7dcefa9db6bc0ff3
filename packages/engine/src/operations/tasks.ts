import { setImmediate as turn } from 'node:timers/promises';
import { type CallOptions, type EventResource, Task, VivError } from '@vivarium/model';
import { type EventLog, noteEvent } from '../store/events.ts';
import type { TaskStore } from '../store/tasks.ts';
import type { Ledger } from './ledger.ts';
import type { Tracked } from './tracked.ts';

/** What is asked for. */
export interface Asked<T> {
  action: string;
  /** What it is done to, where that exists. */
  resource?: EventResource;
  /** Written down also with a caller who waits: nothing else is. Default false. */
  journalled?: boolean;
  /** What came out of it. */
  result?: (value: T) => EventResource[] | undefined;
}

/** Everything long that is asked for goes through here, so that it can be watched, cancelled, and left to itself. */
export class Tasks {
  readonly #ledger: Ledger;
  readonly #store: TaskStore;
  readonly #events: EventLog;
  readonly #running = new Map<Tracked, Promise<unknown>>();
  #dead = false;

  constructor(ledger: Ledger, store: TaskStore, events: EventLog) {
    this.#ledger = ledger;
    this.#store = store;
    this.#events = events;
  }

  /** Runs `work` at once, and follows it. One that is asked for in the course of an equal one is the same. */
  task<T>(asked: Asked<T>, call: CallOptions, work: (call: CallOptions) => Promise<T>): Task<T> {
    const outer = this.#ledger.request;
    if (outer?.action === asked.action && !outer.claimed) return this.#joined(outer, asked, call, work);
    const abort = new AbortController();
    const leave = () => abort.abort(call.signal?.reason);
    call.signal?.addEventListener('abort', leave, { once: true });
    if (call.signal?.aborted) leave();
    const tracked = this.#ledger.open({
      action: asked.action,
      resource: asked.resource,
      cancel: (by) =>
        abort.abort(new VivError('cancelled', `The ${asked.action} was interrupted by a ${by}.`)),
    });
    let written = false;
    const write = (background: boolean) => {
      if (this.#dead) return;
      if (written) return this.#store.detach(tracked.id);
      written = true;
      this.#begin(tracked, background);
    };
    let result: Promise<T>;
    return new Task(
      (listener) => {
        result = this.#follow(tracked, asked, {
          written: () => written,
          work: async () => {
            if (asked.journalled) write(false);
            return this.#ledger.within(tracked, () => work(following(tracked, call, listener, abort.signal)));
          },
        }).finally(() => call.signal?.removeEventListener('abort', leave));
        return result;
      },
      {
        detach: async () => {
          // What is wrong with it as things are shows before a turn has passed, and is no operation.
          await Promise.race([result, turn()]);
          tracked.background = true;
          if (!tracked.ended) call.signal?.removeEventListener('abort', leave);
          const late = tracked.ended && !written;
          write(true);
          if (late) this.#end(tracked);
          return tracked.report;
        },
      },
    );
  }

  /** Resolves when nothing is under way any more. */
  async quiet(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled([...this.#running.values()]);
  }

  interruptAll(by: string): void {
    for (const tracked of this.#running.keys()) tracked.cancel(by);
  }

  /** Nothing is written any more: a test has killed the process. */
  forgetAll(): void {
    this.#dead = true;
    this.#running.clear();
  }

  #joined<T>(
    outer: Tracked,
    asked: Asked<T>,
    call: CallOptions,
    work: (call: CallOptions) => Promise<T>,
  ): Task<T> {
    return new Task(async (listener) => {
      const value = await work(following(outer, call, listener, call.signal));
      outer.result ??= asked.result?.(value);
      return value;
    });
  }

  async #follow<T>(
    tracked: Tracked,
    asked: Asked<T>,
    { work, written }: { work: () => Promise<T>; written: () => boolean },
  ): Promise<T> {
    const running = work();
    this.#running.set(tracked, running);
    try {
      const value = await running;
      tracked.result ??= asked.result?.(value);
      tracked.end({ outcome: 'done' });
      return value;
    } catch (thrown) {
      const error = VivError.from(thrown);
      tracked.end({ outcome: tracked.outcome === 'failed' ? 'failed' : 'undone', error });
      throw error;
    } finally {
      this.#running.delete(tracked);
      if (!this.#dead) {
        if (written()) this.#end(tracked);
        this.#ledger.close(tracked);
      }
    }
  }

  #begin(tracked: Tracked, background: boolean): void {
    const { id, action, askedAt, resource, requestId } = tracked;
    try {
      this.#store.begin({ id, action, askedAt, resource, background, requestId });
    } catch (error) {
      // What is not on the disk nobody may be told of.
      tracked.cancel('full disk');
      throw error;
    }
    this.#note(tracked, 'begun');
  }

  #end(tracked: Tracked): void {
    const { report, outcome } = tracked;
    const { resource, result, error, endedAt } = report;
    const ended = report.state === 'done' ? 'done' : outcome === 'failed' ? 'failed' : 'undone';
    try {
      this.#store.end(tracked.id, { outcome: ended, error, resource, result, endedAt });
    } catch (cause) {
      // It stays open, and whoever opens the data directory next looks what has become of it.
      process.emitWarning(`The end of ${tracked.action} could not be written down: ${String(cause)}`);
    }
    this.#note(tracked, ended);
  }

  /** The operation of an instance tells of itself. */
  #note(tracked: Tracked, outcome: string): void {
    if (tracked.claimed) return;
    const { id, action, report } = tracked;
    const error = report.error && { code: report.error.code, message: report.error.message };
    const data = { id, action, outcome, ...(error === undefined ? {} : { error }) };
    noteEvent(this.#events, { kind: 'operation', id, name: action }, 'operation', data);
  }
}

/** The call as the work sees it: what it tells is told to the request, unless the operation of an instance does so itself. */
function following(
  tracked: Tracked,
  call: CallOptions,
  listener: NonNullable<CallOptions['onProgress']>,
  signal: AbortSignal | undefined,
): CallOptions {
  return {
    ...(signal === undefined ? {} : { signal }),
    onProgress: (progress) => {
      if (!tracked.claimed) tracked.progressed(progress);
      call.onProgress?.(progress);
      listener(progress);
    },
  };
}
