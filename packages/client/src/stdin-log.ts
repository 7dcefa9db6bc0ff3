import { channels } from '@vivarium/api/wire';
import { VivError } from '@vivarium/model';

/** A frame of stdin carries at most so much. */
const pieceBytes = 64 * 1024;

/** Bytes that a writer may be ahead of the daemon. */
const maxAheadBytes = 256 * 1024;

interface Piece {
  start: number;
  data: Uint8Array;
}

/** What was written to a command's stdin and the guest has not taken yet: it is sent again after a lost connection. */
export class StdinLog {
  readonly #send: (frame: string | Uint8Array) => boolean;
  readonly #pieces: Piece[] = [];
  /** Bytes taken from the writer, since the session's start. */
  #total = 0;
  #written = 0;
  #known = false;
  #ended = false;
  #stopped = false;
  #room: PromiseWithResolvers<void> | undefined;

  constructor(send: (frame: string | Uint8Array) => boolean) {
    this.#send = send;
  }

  /** Resolves while the daemon keeps up; afterwards when it has. */
  async write(data: Uint8Array): Promise<void> {
    if (this.#ended) throw new VivError('invalid_request', 'The stdin of this command has been ended');
    for (let at = 0; at < data.byteLength; at += pieceBytes) {
      if (this.#stopped) throw new VivError('conflict', 'The command has ended');
      // Copied: it may be sent again after the writer has used its buffer for something else.
      const piece = { start: this.#total, data: Uint8Array.from(data.subarray(at, at + pieceBytes)) };
      this.#pieces.push(piece);
      this.#total += piece.data.byteLength;
      this.#send(frameOf(piece));
      while (this.#total - this.#written > maxAheadBytes && !this.#stopped) {
        this.#room ??= Promise.withResolvers();
        await this.#room.promise;
      }
    }
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#send('{"stdin_eof":true}');
  }

  /** The session goes on, and has these many bytes. @throws VivError `conflict` where it misses some that are gone. */
  resume(taken: number): void {
    if (!this.#known) {
      this.#known = true;
      // An entrypoint may have read before this client came.
      for (const piece of this.#pieces) piece.start += taken;
      this.#total += taken;
    }
    const oldest = this.#pieces[0]?.start ?? this.#total;
    if (taken < oldest || taken > this.#total) {
      throw new VivError(
        'conflict',
        `The session has ${taken} bytes of its stdin; ${oldest} to ${this.#total} can be sent`,
      );
    }
    this.#written = taken;
    for (const piece of this.#pieces) {
      const skip = Math.max(0, taken - piece.start);
      if (skip < piece.data.byteLength) this.#send(frameOf({ start: 0, data: piece.data.subarray(skip) }));
    }
    if (this.#ended) this.#send('{"stdin_eof":true}');
    this.#wake();
  }

  onWritten(written: number, taken: number): void {
    this.#written = Math.max(this.#written, written);
    while (
      this.#pieces[0] !== undefined &&
      this.#pieces[0].start + this.#pieces[0].data.byteLength <= taken
    ) {
      this.#pieces.shift();
    }
    this.#wake();
  }

  /** Nobody reads any more. */
  stop(): void {
    this.#stopped = true;
    this.#pieces.length = 0;
    this.#wake();
  }

  #wake(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}

function frameOf({ data }: Piece): Uint8Array {
  const frame = new Uint8Array(data.byteLength + 1);
  frame[0] = channels.stdin;
  frame.set(data, 1);
  return frame;
}
