import { abortReason, VivError } from './errors.ts';
import type { ExitInfo } from './instance.ts';
import type { OperationReport } from './operations.ts';

/** What a long action is doing: a closed set of stages with what there is to show of each. */
export type Progress =
  | { stage: 'resolving'; reference: string }
  | { stage: 'layer'; digest: string; receivedBytes: number; totalBytes?: number; done: boolean }
  | { stage: 'converting'; digest: string; done: boolean }
  | { stage: 'image-ready'; digest: string; reference: string }
  | { stage: 'creating'; name: string; id: string }
  | { stage: 'launching'; accelerator?: string }
  | { stage: 'booting' }
  /** `template`: from booted memory. `saved`: from the instance's own. */
  | { stage: 'restoring'; from: 'template' | 'image-template' | 'saved' }
  | { stage: 'saving' }
  /** The guest stood still for so long. */
  | { stage: 'saved'; pauseMilliseconds: number }
  | { stage: 'copying'; name: string; id: string }
  /** An archive, into a volume. `receivedBytes` of what comes, `unpackedBytes` of what was in it. */
  | { stage: 'unpacking'; receivedBytes: number; unpackedBytes: number }
  | { stage: 'configuring' }
  | { stage: 'running'; milliseconds: number }
  | { stage: 'stopping'; step: string }
  | { stage: 'stopped'; exit?: ExitInfo };

/** Called synchronously with every step; must not throw and must not block. */
export type ProgressListener = (progress: Progress) => void;

/** Options of a call that only asks, or is over in a moment. */
export interface AskOptions {
  /** Ends the waiting; a change that has begun is made all the same. */
  signal?: AbortSignal;
}

/** @throws VivError `cancelled`, `timeout` where the signal has fired. @internal */
export function refuseAborted({ signal }: AskOptions = {}): void {
  if (signal?.aborted) throw abortReason(signal);
}

/** Fires with the signal, and after so many milliseconds at the latest. @internal */
export function within(milliseconds: number, { signal }: AskOptions = {}): AbortSignal {
  const late = AbortSignal.timeout(milliseconds);
  return signal === undefined ? late : AbortSignal.any([signal, late]);
}

/** Options that every long call takes. */
export interface CallOptions {
  /** Bounds the operation, never the life of the VM. */
  signal?: AbortSignal;
  onProgress?: ProgressListener;
}

/** Options of a call that makes something. */
export interface MakingOptions extends CallOptions {
  /**
   * Names the request for 24 hours: made again with the same key it finds what it has made already, or joins it while it is under
   * way, and makes it where nothing came of it. 1 to 255 printable ASCII characters. The SDK invents one for each call, and so can ask
   * again when a connection breaks.
   *
   * @throws VivError `conflict` where the key belongs to another request, `not_found` where what it made has been deleted since.
   */
  idempotencyKey?: string;
}

/** How a task is left to itself. */
export interface Detaching {
  /** Answers once it is known that the work goes on without its caller. */
  detach(): Promise<OperationReport>;
  /**
   * The work begins at the end of the turn in which the task was made, and `detach` is called instead of it: for a door
   * that has to ask differently. Default false: at once, and it can be detached at any time.
   */
  late?: boolean;
}

/**
 * A long action: await it for the result, or iterate it for its stages and await it afterwards. The work starts at once
 * either way; nothing is lost when the iteration begins late.
 */
export class Task<T> implements PromiseLike<T>, AsyncIterable<Progress> {
  readonly #result: Promise<T>;
  readonly #seen: Progress[] = [];
  readonly #detaching: Detaching | undefined;
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();
  #begun = false;
  #detached: Promise<OperationReport> | undefined;
  #ended = false;

  constructor(work: (onProgress: ProgressListener) => Promise<T>, detaching?: Detaching) {
    this.#detaching = detaching;
    const begin = () =>
      work((progress) => {
        this.#seen.push(progress);
        this.#notify();
      });
    this.#result = (detaching?.late ? this.#later(begin) : begin()).finally(() => {
      this.#ended = true;
      this.#notify();
    });
    // The iteration does not report the failure; whoever awaits the task does.
    this.#result.catch(() => undefined);
  }

  /**
   * Leaves it to itself: `const { id } = await vm.start().detach()`. Its signal and its caller's end don't end it any more;
   * `viv.operations` waits for it, watches it, or cancels it, also from another process. What it is awaited for afterwards
   * is for nobody: a task of the SDK rejects with `invalid_state`.
   *
   * @throws VivError what is wrong with the action as it stands (`not_found`, `invalid_state`, `busy`, …), and `invalid_state`
   *   where it is called on a task of the SDK later than in the turn that made it.
   */
  detach(): Promise<OperationReport> {
    if (this.#detached !== undefined) return this.#detached;
    if (this.#detaching === undefined)
      return Promise.reject(new VivError('not_supported', 'This is nothing that goes on by itself'));
    if (this.#detaching.late && this.#begun) {
      return Promise.reject(
        new VivError('invalid_state', 'It is under way with its caller', {
          hint: 'Call detach() on the task where it is made: `await vm.start().detach()`.',
        }),
      );
    }
    this.#detached = this.#detaching.detach();
    return this.#detached;
  }

  async #later(begin: () => Promise<T>): Promise<T> {
    await undefined;
    if (this.#detached !== undefined)
      throw new VivError('invalid_state', 'It was detached', { hint: 'Wait with viv.operations.wait().' });
    this.#begun = true;
    return begin();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  // biome-ignore lint/suspicious/noThenProperty: a Task is a promise of its result by design.
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#result.then(onFulfilled, onRejected);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Progress> {
    for (let next = 0; ; ) {
      for (let progress = this.#seen[next]; progress !== undefined; progress = this.#seen[++next])
        yield progress;
      if (this.#ended) return;
      await this.#wake.promise;
    }
  }
}
