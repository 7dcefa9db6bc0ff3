import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isVivError, VivError } from '@vivarium/model';
import { decodeZstd } from './zstd-frames.ts';

/** Puts the first bytes back in front of the rest. */
async function* restored(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (first.byteLength > 0) yield first;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function* decodeGzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  // The iteration throws what the pipeline's callback gets.
  yield* pipeline(
    Readable.from(source, { objectMode: false }),
    createGunzip(),
    () => undefined,
  ) as AsyncIterable<Uint8Array>;
}

export type Compression = 'none' | 'gzip' | 'zstd';

/** By the bytes themselves: media types are wrong often enough. */
export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  const magic = head.byteLength < 4 ? 0 : Buffer.from(head.buffer, head.byteOffset, 4).readUInt32LE();
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? 'zstd' : 'none';
}

/**
 * What is inside a gzip, zstd or plain stream.
 *
 * @throws VivError `image_invalid` while it is read, where the compressed data is damaged or truncated.
 */
export async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Uint8Array = Buffer.alloc(0);
  while (head.byteLength < 4) {
    const next = await iterator.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const whole = restored(head, iterator);
  const compression = compressionOf(head);
  if (compression === 'none') return yield* whole;
  try {
    yield* compression === 'gzip' ? decodeGzip(whole) : decodeZstd(whole);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const fromDecoder = code.startsWith('Z_') || code.startsWith('ZSTD_');
    if (isVivError(error) || !fromDecoder) throw error;
    throw new VivError('image_invalid', `Damaged ${compression} data: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
