import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';

/** Longest line taken from a peer, in UTF-16 units. QMP's longest answers (schemas) are not asked for. */
const maxLine = 4 * 1024 * 1024;

/**
 * JSON objects, one a line, over a socket: what both the shim and QMP speak. A peer that sends anything else is let go of:
 * the socket is destroyed with an error.
 */
export class JsonLines {
  readonly #socket: Socket;
  readonly closed: Promise<void>;

  constructor(socket: Socket, onMessage: (message: Record<string, unknown>) => void) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    const decoder = new StringDecoder('utf8');
    let pending = '';
    socket.on('error', () => {}); // 'close' follows and says it all
    socket.on('data', (chunk) => {
      const lines = (pending + decoder.write(chunk)).split('\n');
      pending = lines.pop() ?? '';
      if (pending.length > maxLine) return void socket.destroy(new Error('line too long'));
      for (const line of lines) {
        const message = parseObject(line);
        if (message) onMessage(message);
        else if (line.trim() !== '') return void socket.destroy(new Error('not a JSON object'));
      }
    });
  }

  get isOpen(): boolean {
    return this.#socket.writable;
  }

  send(message: object): void {
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /** Lets go; nothing more is delivered. */
  close(): void {
    this.#socket.removeAllListeners('data');
    this.#socket.destroy();
  }

  /** This connection alone keeps no process alive. */
  unref(): void {
    this.#socket.unref();
  }

  ref(): void {
    this.#socket.ref();
  }
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
