import { setTimeout } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import type { RawData, WebSocket } from 'ws';

/** Bytes on their way to a client beyond which its socket counts as full. */
const highWater = 256 * 1024;

/** A WebSocket whose frames are taken one by one, and which says when it is full. */
export class FrameSocket {
  readonly #socket: WebSocket;
  readonly #frames: { data: Buffer; binary: boolean }[] = [];
  #queued = 0;
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();
  #closed = false;
  /** Fires when the client has gone. */
  readonly gone: AbortSignal;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    const gone = new AbortController();
    this.gone = gone.signal;
    socket.on('message', (raw: RawData, binary: boolean) => {
      const data = Array.isArray(raw) ? Buffer.concat(raw) : Buffer.from(raw as Buffer);
      this.#frames.push({ data, binary });
      this.#queued += data.byteLength + 64;
      if (this.#queued > highWater) socket.pause();
      this.#wake.resolve();
    });
    socket.on('close', () => {
      this.#closed = true;
      this.#wake.resolve();
      gone.abort(new VivError('cancelled', 'The client has gone.'));
    });
    // What is wrong with a frame (too long, bad UTF-8) closes the socket; there is nobody to tell.
    socket.on('error', () => socket.terminate());
  }

  /** The next frame; undefined once the client has gone. A client that is not read is not listened to. */
  async next(): Promise<{ data: Buffer; binary: boolean } | undefined> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) {
        this.#queued -= frame.data.byteLength + 64;
        if (this.#queued <= highWater) this.#socket.resume();
        return frame;
      }
      if (this.#closed) return undefined;
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
    }
  }

  /** Sends, and resolves when there is room for more; after the client has gone, at once. */
  send(data: string | Uint8Array): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.send(data, () => resolve());
      if (this.#socket.bufferedAmount < highWater) resolve();
    });
  }

  sendJson(value: unknown): Promise<void> {
    return this.send(JSON.stringify(value));
  }

  /** Resolves once the client has gone, or after so many milliseconds. */
  untilLeft(milliseconds: number): Promise<void> {
    // A paused socket would never see it go.
    this.#socket.resume();
    return setTimeout(milliseconds, undefined, { signal: this.gone }).catch(
      () => undefined /* it has gone */,
    );
  }

  close(code = 1000, reason = ''): void {
    // A paused socket would never see the other end's answer to the close.
    this.#socket.resume();
    this.#socket.close(code, reason.slice(0, 120));
  }
}

/** A text frame as JSON. @throws VivError `invalid_request`. */
export function parseFrame(frame: { data: Buffer; binary: boolean }): unknown {
  try {
    return JSON.parse(frame.data.toString());
  } catch (cause) {
    throw new VivError('invalid_request', 'A text frame is not JSON', { cause });
  }
}
