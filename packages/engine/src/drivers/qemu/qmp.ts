import { VivError } from '@vivarium/model';
import { JsonLines } from './json-lines.ts';
import { Requests } from './requests.ts';
import { connectUnix } from './unix-socket.ts';

/** Default deadline of a command, milliseconds. */
const commandTimeoutMs = 2_000;

export interface QmpEvent {
  name: string;
  data: Record<string, unknown>;
}

/**
 * A QEMU Machine Protocol connection: greeting, capabilities, commands matched by id, events. QEMU serves one at a time; a
 * second one waits for its greeting.
 */
export class QmpClient {
  readonly #lines: JsonLines;
  readonly #requests = new Requests('QEMU');
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #greeting = Promise.withResolvers<void>();
  /** Resolves once the connection is lost or closed. */
  readonly closed: Promise<void>;

  private constructor(lines: (onMessage: (message: Record<string, unknown>) => void) => JsonLines) {
    this.#lines = lines((message) => this.#receive(message));
    this.#lines.unref();
    this.closed = this.#lines.closed.then(() => {
      this.#greeting.reject(new VivError('vmm_failed', 'QEMU closed its control socket'));
      this.#requests.failAll();
    });
    this.#greeting.promise.catch(() => {});
  }

  /**
   * @throws the socket's own error where nobody listens; VivError `vmm_failed` where something else than QEMU does, or it
   * does not greet within `timeoutMs`.
   */
  static async connect(
    dir: string,
    name: string,
    options: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<QmpClient> {
    const socket = await connectUnix(dir, name, options.signal);
    const client = new QmpClient((onMessage) => new JsonLines(socket, onMessage));
    const timeoutMs = options.timeoutMs ?? 5_000;
    const timer = setTimeout(() => {
      client.#greeting.reject(new VivError('vmm_failed', `QEMU did not greet within ${timeoutMs} ms`));
    }, timeoutMs);
    const abort = () => client.close();
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      await client.#greeting.promise;
      await client.execute('qmp_capabilities', {}, timeoutMs);
      return client;
    } catch (error) {
      client.close();
      options.signal?.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
    }
  }

  get isOpen(): boolean {
    return this.#lines.isOpen;
  }

  /** @throws VivError `vmm_failed` with QEMU's own words, or where it does not answer in time. */
  async execute(command: string, args: object = {}, timeoutMs = commandTimeoutMs): Promise<unknown> {
    if (!this.isOpen) throw new VivError('vmm_failed', 'The connection to QEMU was lost');
    this.#lines.ref();
    try {
      return await this.#requests.add(command, timeoutMs, (id) =>
        this.#lines.send({ execute: command, arguments: args, id }),
      );
    } finally {
      this.#lines.unref();
    }
  }

  /** Returns what ends the subscription. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The next such event; undefined where there is none within `timeoutMs`, or the connection ends. */
  async waitFor(name: string, timeoutMs: number): Promise<QmpEvent | undefined> {
    const seen = Promise.withResolvers<QmpEvent | undefined>();
    const unsubscribe = this.onEvent((event) => {
      if (event.name === name) seen.resolve(event);
    });
    const timer = setTimeout(() => seen.resolve(undefined), timeoutMs);
    this.closed.then(() => seen.resolve(undefined));
    try {
      return await seen.promise;
    } finally {
      clearTimeout(timer);
      unsubscribe();
    }
  }

  close(): void {
    this.#lines.close();
  }

  #receive(message: Record<string, unknown>): void {
    if ('QMP' in message) this.#greeting.resolve();
    else if (typeof message.event === 'string') this.#tell(message.event, message.data);
    else this.#requests.settle(message.id, outcome(message));
  }

  #tell(name: string, data: unknown): void {
    const event = { name, data: (typeof data === 'object' && data !== null ? data : {}) as QmpEvent['data'] };
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function outcome(message: Record<string, unknown>): { result: unknown } | { error: VivError } {
  if (!('error' in message)) return { result: message.return };
  const description = (message.error as { desc?: unknown } | null)?.desc;
  return { error: new VivError('vmm_failed', `QEMU refused: ${String(description ?? 'no reason given')}`) };
}
