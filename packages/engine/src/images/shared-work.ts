import type { CallOptions, Progress, ProgressListener } from '@vivarium/model';

interface Running<T> {
  result: Promise<T>;
  controller: AbortController;
  waiters: number;
  listeners: Set<ProgressListener>;
}

/**
 * Work that several callers want at the same time is done once. It is aborted when the last of them has given up, and that
 * one waits until it has cleaned up.
 */
export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /** True while somebody works on it. */
  has(key: string): boolean {
    return this.#running.has(key);
  }

  async run(
    key: string,
    options: CallOptions,
    work: (signal: AbortSignal, onProgress: ProgressListener) => Promise<T>,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    let running = this.#running.get(key);
    while (running?.controller.signal.aborted) {
      await running.result.catch(() => undefined); // Its own callers hear of it; it must be out of the way.
      running = this.#running.get(key);
    }
    running ??= this.#start(key, work);
    const { onProgress } = options;
    // One listener may be shared by two callers: each counts.
    const listener: ProgressListener | undefined = onProgress && ((progress) => onProgress(progress));
    if (listener) running.listeners.add(listener);
    running.waiters++;
    try {
      return await this.#wait(running, options.signal);
    } finally {
      running.waiters--;
      if (listener) running.listeners.delete(listener);
    }
  }

  #start(key: string, work: (signal: AbortSignal, onProgress: ProgressListener) => Promise<T>): Running<T> {
    const controller = new AbortController();
    const listeners = new Set<ProgressListener>();
    const tell = (progress: Progress): void => {
      for (const listener of listeners) listener(progress);
    };
    const result = Promise.resolve()
      .then(() => work(controller.signal, tell))
      .finally(() => this.#running.delete(key));
    result.catch(() => undefined); // Those who wait get it.
    const running = { result, controller, waiters: 0, listeners };
    this.#running.set(key, running);
    return running;
  }

  async #wait(running: Running<T>, signal: AbortSignal | undefined): Promise<T> {
    if (!signal) return running.result;
    const gaveUp = Promise.withResolvers<never>();
    const abort = (): void => {
      if (running.waiters > 1) gaveUp.reject(signal.reason);
      else running.controller.abort(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([running.result, gaveUp.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}

/** At most so many at a time, in the order in which they came. */
export class Limit {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(slots: number) {
    this.#free = slots;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#free++;
    }
  }
}
