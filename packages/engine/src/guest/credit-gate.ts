import { type ChannelCode, maxPayloadBytes, type WireStream } from '@vivarium/protocol';

/** Sends on one channel of a stream as credit comes. One writer at a time. */
export class CreditGate {
  readonly #stream: WireStream;
  readonly #channel: ChannelCode;
  #waiting: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #error: unknown;
  readonly #least: number;

  /**
   * `leastBytes`: waits for credit for so many, or for all that is left, rather than send fewer. At most 64 KiB, for which
   * a guest that has consumed everything has left credit (docs/protocol.md). Default: whatever there is credit for.
   */
  constructor(stream: WireStream, channel: ChannelCode, leastBytes = 1) {
    this.#stream = stream;
    this.#channel = channel;
    this.#least = leastBytes;
  }

  /** More may be sent: to be called on the stream's `credit`. */
  open(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve();
  }

  /** Nothing more can be sent; the writer that waits, and every later one, gets the error. */
  fail(error: unknown): void {
    this.#error ??= error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#error);
  }

  /** Sends all of it, in frames of at most 64 KiB; waits while there is no credit. */
  async send(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.byteLength; ) {
      if (this.#error !== undefined) throw this.#error;
      const left = data.byteLength - at;
      const size = Math.min(this.#stream.sendable(this.#channel), maxPayloadBytes, left);
      if (size < Math.min(this.#least, left)) {
        await new Promise<void>((resolve, reject) => {
          this.#waiting = { resolve, reject };
        });
        continue;
      }
      this.#stream.send(this.#channel, data.subarray(at, at + size));
      at += size;
    }
    if (this.#error !== undefined) throw this.#error;
  }
}
