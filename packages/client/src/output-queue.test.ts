import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutputQueue } from './output-queue.ts';

const piece = (stream: 'stdout' | 'stderr', text: string) => ({ stream, data: Buffer.from(text) });

test('what was pushed is read in order, also when it comes while somebody waits, and then it ends', async () => {
  const queue = new OutputQueue(() => undefined);
  const read: string[] = [];
  const reading = (async () => {
    for await (const { stream, data } of queue) read.push(`${stream}:${Buffer.from(data)}`);
  })();
  queue.push(piece('stdout', 'a'));
  await new Promise((resolve) => setImmediate(resolve));
  queue.push(piece('stderr', 'b'));
  queue.push(piece('stdout', 'c'));
  queue.end();
  await reading;
  assert.deepEqual(read, ['stdout:a', 'stderr:b', 'stdout:c']);
});

test('only what was read counts as consumed, of each stream by itself', async () => {
  const consumed: number[] = [];
  const queue = new OutputQueue((bytes) => consumed.push(bytes));
  queue.push(piece('stdout', 'abc'));
  queue.push(piece('stderr', 'de'));
  const reader = queue[Symbol.asyncIterator]();
  await reader.next();
  assert.deepEqual(consumed, [3]);
  assert.deepEqual(queue.consumedOf({ stdout: 3, stderr: 2 }), { stdout: 3, stderr: 0 });
});
