import type { ExecOutput } from '@vivarium/model';

/** Output that has come and not been read. Its length is bounded by what its sender sends without an acknowledgement. */
export class OutputQueue implements AsyncIterable<ExecOutput> {
  readonly #pieces: ExecOutput[] = [];
  readonly #waiting = { stdout: 0, stderr: 0 };
  readonly #onConsumed: (bytes: number) => void;
  #wake: PromiseWithResolvers<void> | undefined;
  #ended = false;

  constructor(onConsumed: (bytes: number) => void) {
    this.#onConsumed = onConsumed;
  }

  push(piece: ExecOutput): void {
    this.#pieces.push(piece);
    this.#waiting[piece.stream] += piece.data.byteLength;
    this.#wake?.resolve();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.resolve();
  }

  /** Of what has been received, what has been read. */
  consumedOf(received: { stdout: number; stderr: number }): { stdout: number; stderr: number } {
    return { stdout: received.stdout - this.#waiting.stdout, stderr: received.stderr - this.#waiting.stderr };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ExecOutput> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#waiting[piece.stream] -= piece.data.byteLength;
        this.#onConsumed(piece.data.byteLength);
        yield piece;
      } else if (this.#ended) return;
      else {
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
      }
    }
  }
}
