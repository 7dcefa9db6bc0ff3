import { createZstdDecompress } from 'node:zlib';
import { VivError } from '@vivarium/model';

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;

/** A little buffer over a stream: what is asked for is whole, or the stream has ended too early. */
class Bytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done) return false;
    const chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return true;
  }

  async atEnd(): Promise<boolean> {
    while (this.#held.length === 0) if (!(await this.#more())) return true;
    return false;
  }

  async peek(size: number): Promise<Buffer> {
    while (this.#held.length < size) {
      if (!(await this.#more())) throw new VivError('image_invalid', 'A zstd stream ends too early');
    }
    return this.#held.subarray(0, size);
  }

  async *take(size: number): AsyncGenerator<Buffer> {
    for (let missing = size; missing > 0; ) {
      await this.peek(1);
      const piece = this.#held.subarray(0, missing);
      this.#held = this.#held.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
  }
}

/** Bytes of a frame's header, from its descriptor (RFC 8878, 3.1.1.1). */
function headerSize(descriptor: number): number {
  const single = (descriptor >> 5) & 1;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const content = [single, 2, 4, 8][descriptor >> 6] ?? 0;
  return 5 + (single ? 0 : 1) + dictionary + content;
}

/** The compressed bytes of one frame, without a byte of what follows it. */
async function* oneFrame(bytes: Bytes): AsyncGenerator<Buffer> {
  const descriptor = (await bytes.peek(5))[4] ?? 0;
  yield* bytes.take(headerSize(descriptor));
  for (let last = false; !last; ) {
    const header = (await bytes.peek(3)).readUIntLE(0, 3);
    last = (header & 1) === 1;
    const repeats = ((header >> 1) & 3) === 1;
    yield* bytes.take(3 + (repeats ? 1 : header >> 3));
  }
  if (descriptor & 4) yield* bytes.take(4);
}

async function* decompress(frame: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const decoder = createZstdDecompress();
  const feeding = (async () => {
    try {
      for await (const piece of frame) {
        if (!decoder.write(piece))
          await new Promise<void>((resolve) => void decoder.once('drain', resolve).once('close', resolve));
        if (decoder.destroyed) return;
      }
      decoder.end();
    } catch (error) {
      decoder.destroy(error as Error);
    }
  })();
  try {
    yield* decoder as AsyncIterable<Buffer>;
  } finally {
    decoder.destroy();
    await feeding;
  }
}

/**
 * Decompresses every frame of a zstd stream. Node's own decoder stops after the first one without a word, and both
 * `zstd:chunked` layers and those of parallel compressors have many.
 */
export async function* decodeZstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const bytes = new Bytes(iterator);
  try {
    while (!(await bytes.atEnd())) {
      const magic = (await bytes.peek(4)).readUInt32LE();
      if (magic === frameMagic) {
        yield* decompress(oneFrame(bytes));
      } else if ((magic & 0xfffffff0) >>> 0 === skippableMagic) {
        const size = (await bytes.peek(8)).readUInt32LE(4);
        for await (const _ of bytes.take(8 + size));
      } else {
        throw new VivError('image_invalid', 'A zstd stream is damaged');
      }
    }
  } finally {
    await iterator.return?.();
  }
}
