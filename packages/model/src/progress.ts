import type { ExitInfo } from './instance.ts';

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
  | { stage: 'configuring' }
  | { stage: 'running'; milliseconds: number }
  | { stage: 'stopping'; step: string }
  | { stage: 'stopped'; exit?: ExitInfo };

/** Called synchronously with every step; must not throw and must not block. */
export type ProgressListener = (progress: Progress) => void;

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

/**
 * A long action: await it for the result, or iterate it for its stages and await it afterwards. The work starts at once
 * either way; nothing is lost when the iteration begins late.
 */
export class Task<T> implements PromiseLike<T>, AsyncIterable<Progress> {
  readonly #result: Promise<T>;
  readonly #seen: Progress[] = [];
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();
  #ended = false;

  constructor(work: (onProgress: ProgressListener) => Promise<T>) {
    this.#result = work((progress) => {
      this.#seen.push(progress);
      this.#notify();
    }).finally(() => {
      this.#ended = true;
      this.#notify();
    });
    // The iteration does not report the failure; whoever awaits the task does.
    this.#result.catch(() => undefined);
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
