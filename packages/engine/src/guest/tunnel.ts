import { Duplex } from 'node:stream';
import { Channel, type WireStream } from '@vivarium/protocol';
import type { GuestChannel } from './channel.ts';
import { CreditGate } from './credit-gate.ts';
import { abortError, guestError } from './guest-errors.ts';
import { ReceiveQueue } from './receive-queue.ts';

/** A TCP connection made inside the guest. Half-closes go through in both directions; destroying it resets the guest's. */
class Tunnel extends Duplex {
  readonly #channel: GuestChannel;
  readonly #stream: WireStream;
  readonly #gate: CreditGate;
  readonly #received = new ReceiveQueue();
  #pulling = false;
  #wanted = false;

  constructor(channel: GuestChannel, params: object, opened: PromiseWithResolvers<void>) {
    super({ allowHalfOpen: true });
    this.#channel = channel;
    const fail = (error: unknown) => {
      opened.reject(error);
      // Whoever has read it to its end and writes nothing no longer listens: an error would end the whole process.
      const idle = this.readableEnded && this.writableLength === 0;
      this.destroy(idle ? undefined : (error as Error));
    };
    this.#stream = channel.open('tcp.connect', params, {
      response: (response) => {
        if (response.ok) opened.resolve();
        else fail(guestError(response.error));
      },
      data: (_, payload) => this.#received.push(Channel.stdin, payload),
      end: () => this.#received.end(),
      credit: () => this.#gate.open(),
      reset: (error) => fail(guestError(error)),
      lost: fail,
    });
    this.#gate = new CreditGate(this.#stream, Channel.stdin);
  }

  override _read(): void {
    this.#wanted = true;
    if (this.#pulling) return;
    this.#pulling = true;
    this.#pull().catch((error) => this.destroy(error));
  }

  async #pull(): Promise<void> {
    while (this.#wanted) {
      const piece = await this.#received.next();
      if (this.destroyed) return;
      if (piece !== undefined) this.#stream.consumed(Channel.stdin, piece.data.length);
      // A push may ask for more in its own turn; that must not be forgotten.
      this.#wanted = false;
      if (this.push(piece?.data ?? null)) this.#wanted = true;
    }
    this.#pulling = false;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#gate
      .send(chunk)
      .then(() => this.#channel.flushed())
      .then(() => callback(), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#stream.end(Channel.stdin);
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const over = this.readableEnded && this.writableFinished;
    if (over) this.#stream.release();
    else this.#stream.reset({ code: 'cancelled', message: 'the tunnel was closed' });
    this.#received.end(undefined, true);
    this.#gate.fail(error ?? new Error('the tunnel is closed'));
    callback(error);
  }
}

/** `tcp.connect`: resolves once the guest is connected. A signal that fires first gives the attempt up. */
export async function openTunnel(
  channel: GuestChannel,
  params: object,
  signal?: AbortSignal,
): Promise<Duplex> {
  if (signal?.aborted) throw abortError(signal);
  const opened = Promise.withResolvers<void>();
  const tunnel = new Tunnel(channel, params, opened);
  const abort = () => {
    opened.reject(abortError(signal as AbortSignal));
    tunnel.destroy();
  };
  signal?.addEventListener('abort', abort, { once: true });
  // Until it is handed out its errors are told by the promise alone.
  const untold = () => undefined;
  tunnel.on('error', untold);
  try {
    await opened.promise;
    tunnel.off('error', untold);
    return tunnel;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
