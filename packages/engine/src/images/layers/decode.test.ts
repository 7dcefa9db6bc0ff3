import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { chunked } from '../fixtures/tar-of.ts';
import { decompressed } from './decode.ts';

async function decode(data: Uint8Array, chunk = 65_536): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of decompressed(chunked(data, chunk))) parts.push(part);
  return Buffer.concat(parts);
}

const skippable = Buffer.from([0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);

test('gzip, zstd and plain bytes come out the same, also of several members and frames', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 5000 }), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 700 }),
      async (parts, chunk) => {
        const plain = Buffer.concat([Buffer.from('begin'), ...parts]);
        const pieces = [Buffer.from('begin'), ...parts];
        assert.deepEqual(await decode(plain, chunk), plain);
        assert.deepEqual(await decode(Buffer.concat(pieces.map((piece) => gzipSync(piece))), chunk), plain);
        const frames = pieces.flatMap((piece) => [zstdCompressSync(piece), skippable]);
        assert.deepEqual(await decode(Buffer.concat(frames), chunk), plain);
        assert.deepEqual(await decode(Buffer.concat([skippable, ...frames]), chunk), plain);
      },
    ),
    { numRuns: 40 },
  );
});

test('large frames pass in pieces', async () => {
  const large = Buffer.alloc(20 * 1024 * 1024, 'some text that repeats, but not only zeros ');
  assert.ok((await decode(zstdCompressSync(large))).equals(large));
  assert.ok((await decode(gzipSync(large))).equals(large));
});

test('compressed data cut anywhere or damaged is an image error, never a shorter layer', async () => {
  const plain = Buffer.from('abcdefgh'.repeat(500));
  for (const whole of [gzipSync(plain), zstdCompressSync(plain)]) {
    for (let cut = 5; cut < whole.length; cut++) {
      await assert.rejects(
        decode(whole.subarray(0, cut)),
        (error) => isVivError(error, 'image_invalid'),
        `cut at ${cut}`,
      );
    }
    const damaged = Buffer.concat([whole, Buffer.from('garbage!')]);
    await assert.rejects(decode(damaged), (error) => isVivError(error, 'image_invalid'));
  }
});

test('a reader that stops early closes its source', async () => {
  for (const data of [
    gzipSync(Buffer.alloc(4_000_000, 'x')),
    zstdCompressSync(Buffer.alloc(4_000_000, 'x')),
    Buffer.alloc(1_000_000),
  ]) {
    let closed = false;
    const source = (async function* () {
      try {
        yield* chunked(data, 100);
      } finally {
        closed = true;
      }
    })();
    for await (const _ of decompressed(source)) break;
    assert.ok(closed);
  }
});
