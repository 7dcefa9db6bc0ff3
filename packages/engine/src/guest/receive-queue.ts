import type { ChannelCode } from '@vivarium/protocol';

/** Payloads up to this size are gathered into blocks, so that many small ones cost no more than a few large ones. */
const smallBytes = 4_096;
const blockBytes = 16_384;
/** While fewer pieces wait, the order in which stdout and stderr came is kept to the byte. */
const orderedPieces = 64;

interface Piece {
  readonly channel: ChannelCode;
  gap: number;
  block: Buffer;
  filled: number;
}

export interface Received {
  readonly channel: ChannelCode;
  /** Bytes the guest gave up before these; almost always 0. With a gap the data may be empty. */
  readonly gap: number;
  readonly data: Buffer;
}

/**
 * What a guest sent and nobody has read yet, for one reader. Its memory is bounded by the bytes granted, however small the
 * frames they came in: no payload keeps a larger buffer alive, and no byte costs an object of its own.
 */
export class ReceiveQueue {
  readonly #pieces: Piece[] = [];
  readonly #last: (Piece | undefined)[] = [];
  #ended = false;
  #error: unknown;
  #waiting: { resolve: (value: Received | undefined) => void; reject: (error: unknown) => void } | undefined;

  /** Pieces that wait for the reader. */
  get pieceCount(): number {
    return this.#pieces.length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  push(channel: ChannelCode, payload: Buffer): void {
    if (this.#ended) return;
    if (this.#waiting !== undefined && this.#hand({ channel, gap: 0, data: owned(payload) })) return;
    if (payload.length <= smallBytes && this.#merge(channel, payload)) return;
    this.#append({ channel, gap: 0, block: owned(payload), filled: payload.length });
  }

  /** Bytes that will never come: what is pushed next on that channel is so much further on. */
  skip(channel: ChannelCode, bytes: number): void {
    if (this.#ended || this.#hand({ channel, gap: bytes, data: Buffer.alloc(0) })) return;
    const last = this.#last[channel];
    if (last !== undefined && (last.filled === 0 || this.pieceCount >= orderedPieces)) last.gap += bytes;
    else this.#append({ channel, gap: bytes, block: Buffer.alloc(0), filled: 0 });
  }

  /** No more comes. With an error the reader gets it after what is still queued; `drop`: instead of it. */
  end(error?: unknown, drop = false): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (drop) this.#pieces.length = 0;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (error === undefined) waiting?.resolve(undefined);
    else waiting?.reject(error);
  }

  /** The next piece if one is here. */
  take(): Received | undefined {
    const piece = this.#pieces.shift();
    if (piece === undefined) return undefined;
    if (this.#last[piece.channel] === piece) this.#last[piece.channel] = undefined;
    return { channel: piece.channel, gap: piece.gap, data: piece.block.subarray(0, piece.filled) };
  }

  /** The next piece, or undefined at the end. One reader at a time. @throws the error given to {@link end}. */
  next(): Promise<Received | undefined> {
    const piece = this.take();
    if (piece !== undefined) return Promise.resolve(piece);
    if (this.#ended)
      return this.#error === undefined ? Promise.resolve(undefined) : Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** To the reader that waits, if there is one. */
  #hand(received: Received): boolean {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(received);
    return waiting !== undefined;
  }

  #append(piece: Piece): void {
    this.#pieces.push(piece);
    this.#last[piece.channel] = piece;
  }

  #merge(channel: ChannelCode, payload: Buffer): boolean {
    const last = this.#last[channel];
    if (last === undefined) return false;
    const isTail = last === this.#pieces.at(-1);
    if (!isTail && this.pieceCount < orderedPieces) return false;
    const filled = last.filled + payload.length;
    if (filled > blockBytes) return false;
    if (filled > last.block.length) {
      const block = Buffer.allocUnsafeSlow(blockBytes);
      last.block.copy(block, 0, 0, last.filled);
      last.block = block;
    }
    payload.copy(last.block, last.filled);
    last.filled = filled;
    return true;
  }
}

/** The payload itself where it is most of its buffer, else a copy that keeps nothing else alive. */
function owned(payload: Buffer): Buffer {
  return payload.length * 4 >= payload.buffer.byteLength ? payload : Buffer.from(payload);
}
