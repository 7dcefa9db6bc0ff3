import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameDecoder } from './decoder.ts';
import { encodeFrame, encodeFrameParts, type Frame, headerBytes, maxPayloadBytes } from './frame.ts';

const frames = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  flags: fc.integer({ min: 0, max: 0xffff }),
  epoch: fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
  stream: fc.integer({ min: 0, max: 0xffffffff }),
  payload: fc.uint8Array({ maxLength: 300 }),
});
/** Garbage rich in what looks like headers. */
const garbage = fc
  .array(
    fc.oneof(fc.constantFrom('V', 'VI', 'VIV1', 'VIV1\x01'), fc.string({ unit: 'binary', maxLength: 20 })),
    {
      maxLength: 20,
    },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));

function decode(bytes: Uint8Array, cuts: readonly number[]): { frames: Frame[]; decoder: FrameDecoder } {
  const decoder = new FrameDecoder();
  const found: Frame[] = [];
  const sizes = cuts.length > 0 ? cuts : [bytes.length || 1];
  for (let at = 0, n = 0; at < bytes.length; n += 1) {
    const size = sizes[n % sizes.length] ?? 1;
    decoder.push(bytes.subarray(at, at + size), (frame) => {
      found.push({ ...frame, payload: Buffer.from(frame.payload) });
    });
    at += size;
    assert.ok(decoder.heldBytes <= headerBytes + maxPayloadBytes);
  }
  return { frames: found, decoder };
}

const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 10 });
const plain = ({ payload, ...header }: { payload: Uint8Array }) => ({ ...header, payload: [...payload] });

test('frames survive any chunking', () => {
  fc.assert(
    fc.property(fc.array(frames, { maxLength: 8 }), cuts, (sent, sizes) => {
      const bytes = Buffer.concat(sent.flatMap((frame) => encodeFrameParts(frame, frame.payload)));
      const got = decode(bytes, sizes);
      assert.deepEqual(got.frames.map(plain), sent.map(plain));
      assert.equal(got.decoder.discardedBytes, 0);
      assert.equal(got.decoder.heldBytes, 0);
    }),
  );
});

test('garbage between frames is skipped and counted', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(garbage, frames), { minLength: 1, maxLength: 6 }),
      cuts,
      (pieces, sizes) => {
        const bytes = Buffer.concat(
          pieces.flatMap(([junk, frame]) => [junk, encodeFrame(frame, frame.payload)]),
        );
        const got = decode(bytes, sizes);
        assert.deepEqual(
          got.frames.map(plain),
          pieces.map(([, frame]) => plain(frame)),
        );
        assert.equal(
          got.decoder.discardedBytes,
          pieces.reduce((sum, [junk]) => sum + junk.length, 0),
        );
      },
    ),
  );
});

test('any bytes give the same frames whatever their chunks, and never throw', () => {
  const damaged = fc
    .tuple(fc.array(frames, { maxLength: 5 }), garbage, fc.nat(), fc.nat({ max: 255 }))
    .map(([sent, junk, at, value]) => {
      const bytes = Buffer.concat([...sent.map((frame) => encodeFrame(frame, frame.payload)), junk]);
      if (bytes.length > 0) bytes[at % bytes.length] = value;
      return bytes;
    });
  fc.assert(
    fc.property(damaged, cuts, (bytes, sizes) => {
      const whole = decode(bytes, []);
      const cut = decode(bytes, sizes);
      assert.deepEqual(cut.frames.map(plain), whole.frames.map(plain));
      assert.equal(cut.decoder.discardedBytes, whole.decoder.discardedBytes);
      assert.equal(cut.decoder.heldBytes, whole.decoder.heldBytes);
    }),
  );
});

test('a payload is its own: the chunk that it came in may be filled anew', () => {
  for (const length of [10, 60_000]) {
    const bytes = encodeFrame({ type: 0x20, flags: 0, epoch: 1n, stream: 1 }, Buffer.alloc(length, 'a'));
    const payloads: Buffer[] = [];
    new FrameDecoder().push(bytes, ({ payload }) => payloads.push(payload));
    bytes.fill(0);
    assert.deepEqual(payloads, [Buffer.alloc(length, 'a')]);
  }
});

test('sixteen megabytes of false magics are skipped within seconds, in large chunks and in small ones', () => {
  const bytes = Buffer.from('VIV1'.repeat(4 * 1024 * 1024), 'latin1');
  for (const chunk of [bytes.length, 61]) {
    const decoder = new FrameDecoder();
    const before = performance.now();
    for (let at = 0; at < bytes.length; at += chunk) {
      decoder.push(bytes.subarray(at, at + chunk), () => assert.fail('there is no frame'));
    }
    // Quadratic work would take hours; the bound leaves room for a busy machine.
    assert.ok(performance.now() - before < 30_000);
    assert.ok(decoder.discardedBytes > bytes.length - headerBytes);
  }
});

test('a frame begun before a reset is forgotten', () => {
  const decoder = new FrameDecoder();
  const header = { type: 0x20, flags: 0, epoch: 1n, stream: 1 };
  const found: number[] = [];
  decoder.push(encodeFrame(header, Buffer.alloc(100)).subarray(0, 60), () => assert.fail('not complete'));
  decoder.reset();
  assert.equal(decoder.heldBytes, 0);
  decoder.push(encodeFrame(header, Buffer.alloc(3)), (frame) => found.push(frame.payload.length));
  assert.deepEqual(found, [3]);
});

test('a payload above 64 KiB is refused before a byte is written', () => {
  const header = { type: 0x20, flags: 0, epoch: 1n, stream: 1 };
  assert.throws(() => encodeFrameParts(header, Buffer.alloc(maxPayloadBytes + 1)), RangeError);
});
