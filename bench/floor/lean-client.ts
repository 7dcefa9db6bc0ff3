import { connect, type Socket } from 'node:net';

/**
 * Asks for one path again and again over one connection, into one buffer. Node's own client takes new memory for every
 * answer, and the time its process needs to collect that would be counted as the server's.
 */
export class LeanClient implements Disposable {
  readonly #socket: Socket;
  readonly #request: string;
  #left = 0;
  #answered: { resolve: (bytes: number) => void; reject: (error: Error) => void } | undefined;
  #bytes = 0;

  constructor(socketPath: string, path: string) {
    this.#request = `GET ${path} HTTP/1.1\r\nhost: bench\r\n\r\n`;
    this.#socket = connect({
      path: socketPath,
      onread: {
        buffer: Buffer.alloc(128 * 1024),
        callback: (count, buffer) => this.#take(buffer as Buffer, count),
      },
    });
    const gone = (error: Error) => this.#answered?.reject(error);
    this.#socket.on('error', gone).on('close', () => gone(new Error('The server has closed the connection')));
  }

  /** Resolves with the length of the body, once all of it is here. */
  get(): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#answered = { resolve, reject };
    this.#socket.write(this.#request);
    return promise;
  }

  #take(buffer: Buffer, count: number): boolean {
    if (this.#left > 0) this.#left -= count;
    else {
      const head = buffer.toString('latin1', 0, Math.min(count, 2048));
      const length = /^HTTP\/1\.1 200 [\s\S]*?\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1];
      const end = head.indexOf('\r\n\r\n');
      if (length === undefined || end < 0) {
        this.#answered?.reject(new Error(`Not the head of a page: ${head.slice(0, 200)}`));
        return false;
      }
      this.#bytes = Number(length);
      this.#left = this.#bytes - (count - end - 4);
    }
    if (this.#left === 0) this.#answered?.resolve(this.#bytes);
    return true;
  }

  [Symbol.dispose](): void {
    this.#answered = undefined;
    this.#socket.destroy();
  }
}
