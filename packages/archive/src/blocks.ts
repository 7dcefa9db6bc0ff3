import { VivError } from '@vivarium/model';

/** Takes exact amounts of bytes out of a stream of chunks of any size; holds at most one chunk. */
export class ByteSource {
  readonly #iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  /** Bytes taken so far. */
  position = 0;

  constructor(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#iterator =
      Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  }

  /** The next bytes, at least one and at most `max`; undefined at the end of the stream. */
  async some(max: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.byteLength === 0) {
      const next = await this.#iterator.next();
      if (next.done) return undefined;
      this.#chunk = next.value;
    }
    const taken = this.#chunk.subarray(0, max);
    this.#chunk = this.#chunk.subarray(taken.byteLength);
    this.position += taken.byteLength;
    return taken;
  }

  /** Exactly so many bytes; undefined when the stream ends before the first. @throws VivError `archive_invalid`. */
  async exactly(size: number): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(size);
    for (let filled = 0; filled < size; ) {
      const part = await this.some(size - filled);
      if (part === undefined) {
        if (filled === 0) return undefined;
        throw truncated(this.position);
      }
      bytes.set(part, filled);
      filled += part.byteLength;
    }
    return bytes;
  }

  async skip(size: number): Promise<void> {
    for (let left = size; left > 0; ) {
      const part = await this.some(left);
      if (part === undefined) throw truncated(this.position);
      left -= part.byteLength;
    }
  }

  /** Tells the source that nobody reads on. */
  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}

export function truncated(position: number): VivError {
  return new VivError(
    'archive_invalid',
    `The archive ends in the middle of an entry, after ${position} bytes`,
    {
      hint: 'It was cut off on its way; make or fetch it again.',
    },
  );
}
