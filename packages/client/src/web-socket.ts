import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { FrameReader, frameOf, type Message, opcodes } from './frames.ts';

/** The other end may take so long to answer a close. Milliseconds. */
const closeMs = 30_000;

/** 1000: it did what it was for. */
const normalClosure = Buffer.from([0x03, 0xe8]);

/**
 * A client's end of a WebSocket without extensions (RFC 6455), over a connection that was upgraded. Comes paused. Our own, as
 * every package for it loads TLS, and with that all certificates of the system, for a socket of this machine as well. A
 * connection that fails just closes.
 */
export class WebSocket extends EventEmitter<{ message: [data: Buffer, binary: boolean]; close: [] }> {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  #paused = true;
  #delivering = false;
  /** Either end has said that it goes. */
  #closing = false;
  #closed = false;
  #broken = false;

  /** `head` is what came behind the answer to the upgrade. */
  constructor(socket: Socket, head: Buffer) {
    super();
    this.#socket = socket;
    socket.setTimeout(0);
    socket.setNoDelay();
    socket.pause();
    if (head.byteLength > 0) this.#reader.push(head);
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk);
      this.#deliver();
    });
    socket.on('end', () => {
      this.#closing = true;
    });
    // The close that follows is what counts.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#end());
  }

  /** Whether something can be sent. */
  get isOpen(): boolean {
    return !this.#closing && !this.#socket.destroyed;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** A string is a text message. `done` is called once it is written, or can't be. */
  send(data: string | Uint8Array, done?: (error?: Error | null) => void): void {
    if (!this.isOpen) {
      if (done !== undefined) process.nextTick(done, new Error('the WebSocket is closed'));
      return;
    }
    const frame =
      typeof data === 'string' ? frameOf(opcodes.text, Buffer.from(data)) : frameOf(opcodes.binary, data);
    this.#socket.write(frame, done);
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
    if (!this.#paused) this.#socket.resume();
  }

  /** Says goodbye; `close` comes once the other end has as well, which a paused one would not see. */
  close(): void {
    if (!this.isOpen) return;
    this.#closing = true;
    this.#socket.write(frameOf(opcodes.close, normalClosure));
    this.#socket.setTimeout(closeMs, () => this.#socket.destroy());
  }

  /** Lets go of the connection as it is. */
  terminate(): void {
    this.#socket.destroy();
  }

  #deliver(): void {
    // A listener that resumes us is no reason to begin within the message that it is at.
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      while (!this.#paused) {
        const message = this.#next();
        if (message === undefined) return;
        this.#take(message);
      }
    } finally {
      this.#delivering = false;
    }
  }

  #next(): Message | undefined {
    if (this.#broken) return undefined;
    try {
      return this.#reader.next();
    } catch (error) {
      // Where the next frame would begin nobody knows any more.
      this.#broken = true;
      this.#socket.destroy(error as Error);
      return undefined;
    }
  }

  #take({ opcode, data }: Message): void {
    if (opcode === opcodes.text || opcode === opcodes.binary)
      this.emit('message', data, opcode === opcodes.binary);
    else if (opcode === opcodes.ping && this.isOpen) this.#socket.write(frameOf(opcodes.pong, data));
    else if (opcode === opcodes.close) {
      this.close();
      this.#socket.end();
    }
  }

  /** Whatever has come is told before the end. */
  #end(): void {
    const rest = this.#socket.read() as Buffer | null;
    if (rest !== null) this.#reader.push(rest);
    this.#paused = false;
    this.#deliver();
    this.#closed = true;
    this.emit('close');
  }
}
