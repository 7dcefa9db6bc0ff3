import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FrameDecoder } from './decoder.ts';
import { encodeFrame, encodeFrameParts, type Frame } from './frame.ts';

interface FrameVector {
  name: string;
  type: number;
  flags: number;
  epoch: string;
  stream: number;
  payload: string;
  bytes: string;
}
interface StreamVector {
  name: string;
  bytes: string;
  frames: string[];
  discarded: number;
}

const load = (file: string) =>
  JSON.parse(readFileSync(new URL(`../vectors/${file}`, import.meta.url), 'utf8'));
const frames: FrameVector[] = load('frames.json');
const streams: StreamVector[] = load('streams.json');

const shown = (frame: Frame) => ({
  type: frame.type,
  flags: frame.flags,
  epoch: frame.epoch.toString(16).padStart(16, '0'),
  stream: frame.stream,
  payload: frame.payload.toString('hex'),
});

function decodeAll(bytes: Buffer, chunkBytes: number) {
  const decoder = new FrameDecoder();
  const found: ReturnType<typeof shown>[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    decoder.push(bytes.subarray(at, at + chunkBytes), (frame) => found.push(shown(frame)));
  }
  return { found, discarded: decoder.discardedBytes };
}

for (const vector of frames) {
  test(`frame vector "${vector.name}" is encoded and decoded byte for byte`, () => {
    const header = { ...vector, epoch: BigInt(`0x${vector.epoch}`) };
    const payload = Buffer.from(vector.payload, 'hex');
    assert.equal(encodeFrame(header, payload).toString('hex'), vector.bytes);
    assert.equal(Buffer.concat(encodeFrameParts(header, payload)).toString('hex'), vector.bytes);
    const { name: _, bytes: __, ...fields } = vector;
    assert.deepEqual(decodeAll(Buffer.from(vector.bytes, 'hex'), 1 << 20).found, [fields]);
  });
}

for (const vector of streams) {
  test(`stream vector "${vector.name}" gives the same frames at any chunking`, () => {
    const bytes = Buffer.from(vector.bytes, 'hex');
    const expected = vector.frames.map((name) => {
      const found = frames.find((frame) => frame.name === name);
      assert.ok(found, name);
      const { name: _, bytes: __, ...fields } = found;
      return fields;
    });
    for (const chunkBytes of [1, 7, 27, 28, 29, 4096, 1 << 20]) {
      const { found, discarded } = decodeAll(bytes, chunkBytes);
      assert.deepEqual(found, expected, `in chunks of ${chunkBytes}`);
      assert.equal(discarded, vector.discarded, `in chunks of ${chunkBytes}`);
    }
  });
}
