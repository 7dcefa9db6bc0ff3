import { VivError } from '@vivarium/model';

interface Pending {
  resolve(result: unknown): void;
  reject(error: VivError): void;
  timer: NodeJS.Timeout;
}

/** Requests under way on one connection, matched by id. Every one of them ends: answered, late, or with the connection. */
export class Requests {
  readonly #pending = new Map<number, Pending>();
  readonly #peer: string;
  #next = 0;

  constructor(peer: string) {
    this.#peer = peer;
  }

  /** Calls `send` with a fresh id. @throws VivError `vmm_failed` where no answer comes in time. */
  add(what: string, timeoutMs: number, send: (id: number) => void): Promise<unknown> {
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new VivError('vmm_failed', `${this.#peer} did not answer ${what} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(id, { resolve, reject, timer });
      send(id);
    });
  }

  /** An answer to a request that nobody waits for any more is dropped. */
  settle(id: unknown, outcome: { result: unknown } | { error: VivError }): void {
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (!pending) return;
    this.#pending.delete(id as number);
    clearTimeout(pending.timer);
    if ('error' in outcome) pending.reject(outcome.error);
    else pending.resolve(outcome.result);
  }

  failAll(): void {
    for (const id of [...this.#pending.keys()]) {
      this.settle(id, { error: new VivError('vmm_failed', `The connection to ${this.#peer} was lost`) });
    }
  }
}
