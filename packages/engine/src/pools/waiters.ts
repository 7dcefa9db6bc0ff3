import { abortReason, type VivError, type Vm } from '@vivarium/model';

/** Somebody who waits for a VM. */
export interface Waiter {
  readonly signal: AbortSignal | undefined;
  /** The request with an idempotency key that he comes with. */
  readonly request: string | undefined;
  readonly promise: Promise<Vm>;
  /** VMs that were taken for him and turned out unfit. */
  unfit: number;
  resolve(vm: Vm): void;
  reject(error: VivError): void;
}

/** Those who wait, in the order in which they came. Whose signal fires is gone at once. */
export class Waiters {
  readonly #queue: Waiter[] = [];

  get size(): number {
    return this.#queue.length;
  }

  includes(waiter: Waiter): boolean {
    return this.#queue.includes(waiter);
  }

  join(signal: AbortSignal | undefined, request?: string): Waiter {
    const { promise, resolve, reject } = Promise.withResolvers<Vm>();
    const waiter: Waiter = { signal, request, promise, unfit: 0, resolve, reject };
    this.#queue.push(waiter);
    if (signal === undefined) return waiter;
    const leave = () => {
      const place = this.#queue.indexOf(waiter);
      // Who is being served is let go by what serves him, once it is known whose the VM is.
      if (place < 0) return;
      this.#queue.splice(place, 1);
      reject(abortReason(signal));
    };
    const settled = () => signal.removeEventListener('abort', leave);
    promise.then(settled, settled);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    return waiter;
  }

  take(): Waiter | undefined {
    return this.#queue.shift();
  }

  /** Back to the front: he has lost nothing by a VM that was none. */
  putBack(waiter: Waiter): void {
    if (waiter.signal?.aborted) waiter.reject(abortReason(waiter.signal));
    else this.#queue.unshift(waiter);
  }

  rejectAll(error: VivError): void {
    for (const waiter of this.#queue.splice(0)) waiter.reject(error);
  }
}
