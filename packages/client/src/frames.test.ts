import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameReader, opcodes } from './frames.ts';

/** As a server sends it. */
function served(opcode: number, data: Uint8Array, final = true): Buffer {
  const length = data.byteLength;
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  header[0] = (final ? 0x80 : 0) | opcode;
  header[1] = header.length === 2 ? length : header.length === 4 ? 126 : 127;
  if (header.length === 4) header.writeUInt16BE(length, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, data]);
}

function readAll(reader: FrameReader): { opcode: number; data: string }[] {
  const found = [];
  for (let next = reader.next(); next !== undefined; next = reader.next())
    found.push({ opcode: next.opcode, data: next.data.toString('hex') });
  return found;
}

const length = fc.oneof(
  fc.nat(300),
  fc.constantFrom(125, 126, 127, 65_535, 65_536),
  fc.integer({ min: 300, max: 70_000 }),
);
const message = fc.record({
  opcode: fc.constantFrom(opcodes.text, opcodes.binary, opcodes.ping, opcodes.pong),
  length,
  pieces: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(255),
});

test('however messages are cut, into frames and on the way, they arrive whole and in order', () => {
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1 }),
      (messages, cuts) => {
        const expected: { opcode: number; data: string }[] = [];
        const bytes = Buffer.concat(
          messages.flatMap(({ opcode, length, pieces, seed }) => {
            const control = opcode >= opcodes.close;
            const data = Buffer.alloc(control ? length % 126 : length, seed);
            expected.push({ opcode, data: data.toString('hex') });
            if (control) return served(opcode, data);
            const size = Math.ceil(data.byteLength / pieces);
            return Array.from({ length: pieces }, (_, n) =>
              served(
                n === 0 ? opcode : opcodes.continuation,
                data.subarray(n * size, (n + 1) * size),
                n === pieces - 1,
              ),
            );
          }),
        );
        const reader = new FrameReader();
        const found = [];
        for (let at = 0, n = 0; at < bytes.byteLength; n++) {
          const cut = cuts[n % cuts.length] as number;
          reader.push(bytes.subarray(at, at + cut));
          at += cut;
          found.push(...readAll(reader));
        }
        assert.deepEqual(found, expected);
      },
    ),
    { numRuns: 60 },
  );
});

test('what breaks the protocol is an error, not a message', () => {
  const broken: [string, Buffer, RegExp][] = [
    ['masked', Buffer.from([0x82, 0x80, 0, 0, 0, 0]), /bits/],
    ['compressed', Buffer.from([0xc2, 0]), /bits/],
    ['a cut ping', served(opcodes.ping, Buffer.alloc(0), false), /control/],
    ['a long ping', served(opcodes.ping, Buffer.alloc(126)), /control/],
    ['an end without a beginning', served(opcodes.continuation, Buffer.alloc(1)), /had not begun/],
    [
      'two beginnings',
      Buffer.concat([served(1, Buffer.alloc(1), false), served(1, Buffer.alloc(1))]),
      /within/,
    ],
    ['a frame without end', Buffer.from([0x82, 0x7f, 0, 0, 0xff, 0, 0, 0, 0, 0]), /too long/],
  ];
  for (const [what, bytes, expected] of broken) {
    const reader = new FrameReader();
    reader.push(bytes);
    assert.throws(() => readAll(reader), expected, what);
  }
});
