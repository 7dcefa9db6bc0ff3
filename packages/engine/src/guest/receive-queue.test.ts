import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChannelCode } from '@vivarium/protocol';
import fc from 'fast-check';
import { ReceiveQueue } from './receive-queue.ts';

test('each stream comes out byte for byte as it went in, whatever is read when', async () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ channel: fc.constantFrom<ChannelCode>(1, 2), size: fc.integer({ min: 1, max: 9_000 }) }),
      fc.constant('read' as const),
    ),
    { maxLength: 400 },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const queue = new ReceiveQueue();
      const [sent, got] = [new Map<number, Buffer[]>(), new Map<number, Buffer[]>()];
      const keep = (into: Map<number, Buffer[]>, channel: number, data: Buffer) =>
        into.set(channel, [...(into.get(channel) ?? []), Buffer.from(data)]);
      let next = 0;
      for (const step of plan) {
        if (step === 'read') {
          const piece = queue.take();
          if (piece !== undefined) keep(got, piece.channel, piece.data);
          continue;
        }
        const data = Buffer.from(Array.from({ length: step.size }, () => next++ & 255));
        keep(sent, step.channel, data);
        queue.push(step.channel, data);
      }
      queue.end();
      for (let piece = await queue.next(); piece !== undefined; piece = await queue.next()) {
        keep(got, piece.channel, piece.data);
      }
      for (const channel of [1, 2]) {
        const all = (from: Map<number, Buffer[]>) => Buffer.concat(from.get(channel) ?? []);
        assert.ok(all(sent).equals(all(got)));
      }
    }),
  );
});

test('a quarter of a million single bytes on two streams become few pieces', () => {
  const queue = new ReceiveQueue();
  const chunk = Buffer.alloc(65_536);
  for (let n = 0; n < 262_144; n += 1) {
    queue.push(1, chunk.subarray(0, 1));
    queue.push(2, chunk.subarray(1, 2));
  }
  assert.ok(queue.pieceCount < 150, `${queue.pieceCount} pieces`);
});

test('a small payload does not keep the chunk alive that it came in', async () => {
  const queue = new ReceiveQueue();
  const chunk = Buffer.alloc(65_536);
  queue.push(1, chunk.subarray(0, 100));
  const waiting = queue.next();
  const piece = await waiting;
  assert.notEqual(piece?.data.buffer, chunk.buffer);
  const next = queue.next();
  queue.push(1, chunk.subarray(0, 100));
  assert.notEqual((await next)?.data.buffer, chunk.buffer);
});

test('stdout and stderr keep their order while few pieces wait', async () => {
  const queue = new ReceiveQueue();
  for (const [channel, text] of [
    [1, 'a'],
    [1, 'b'],
    [2, 'c'],
    [1, 'd'],
  ] as const) {
    queue.push(channel, Buffer.from(text));
  }
  queue.end();
  const order: string[] = [];
  for (let piece = await queue.next(); piece; piece = await queue.next())
    order.push(`${piece.channel}${piece.data}`);
  assert.deepEqual(order, ['1ab', '2c', '1d']);
});

test('an error comes after what is queued, or instead of it', async () => {
  const queue = new ReceiveQueue();
  queue.push(1, Buffer.from('x'));
  queue.end(new Error('lost'));
  assert.equal((await queue.next())?.data.toString(), 'x');
  await assert.rejects(queue.next(), /lost/);
  const dropped = new ReceiveQueue();
  dropped.push(1, Buffer.from('x'));
  dropped.end(undefined, true);
  assert.equal(await dropped.next(), undefined);
});
