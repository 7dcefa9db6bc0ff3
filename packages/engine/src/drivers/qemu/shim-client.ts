import { VivError } from '@vivarium/model';
import type { ExitRecord } from '../driver.ts';
import { parseExit } from './exit-record.ts';
import { JsonLines } from './json-lines.ts';
import { Requests } from './requests.ts';
import { connectUnix } from './unix-socket.ts';

/** A connection to a machine's shim (docs/shim.md), subscribed to the end of its VMM. */
export class ShimClient {
  readonly #lines: JsonLines;
  readonly #requests = new Requests('The shim');
  readonly #exit = Promise.withResolvers<ExitRecord | undefined>();
  /** How the VMM ended; undefined where the connection was lost before anyone said so. */
  readonly exit: Promise<ExitRecord | undefined> = this.#exit.promise;

  private constructor(lines: (onMessage: (message: Record<string, unknown>) => void) => JsonLines) {
    this.#lines = lines((message) => this.#receive(message));
    this.#lines.unref();
    this.#lines.closed.then(() => {
      this.#requests.failAll();
      this.#exit.resolve(undefined);
    });
  }

  static async connect(dir: string, signal?: AbortSignal): Promise<ShimClient> {
    const socket = await connectUnix(dir, 'shim.sock', signal);
    const client = new ShimClient((onMessage) => new JsonLines(socket, onMessage));
    try {
      await client.request('subscribe');
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** @throws VivError with the shim's code, or `vmm_failed` where it does not answer in time. */
  async request(method: string, params: object = {}, timeoutMs = 2_000): Promise<unknown> {
    if (!this.#lines.isOpen) throw new VivError('vmm_failed', 'The connection to the shim was lost');
    this.#lines.ref();
    try {
      return await this.#requests.add(method, timeoutMs, (id) => this.#lines.send({ id, method, params }));
    } finally {
      this.#lines.unref();
    }
  }

  /** As {@link exit}, and keeps this process alive until then. */
  awaitExit(): Promise<ExitRecord | undefined> {
    this.#lines.ref();
    return this.exit;
  }

  close(): void {
    this.#lines.close();
  }

  #receive(message: Record<string, unknown>): void {
    if (message.event === 'exit') this.#exit.resolve(parseExit(message.exit));
    else this.#requests.settle(message.id, outcome(message));
  }
}

function outcome(message: Record<string, unknown>): { result: unknown } | { error: VivError } {
  if (!('error' in message)) return { result: message.result };
  const { code, message: text } = (message.error ?? {}) as { code?: unknown; message?: unknown };
  return { error: VivError.fromRecord({ code: String(code), message: String(text) }) };
}
