import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { underLock } from './lock.ts';

test('a second holder is told that it waits, and goes on when the first is done', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'lock-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = path.join(dir, 'sub/lock');
  const told = Promise.withResolvers<void>();
  const holding = Promise.withResolvers<void>();
  const order: string[] = [];
  const first = underLock(
    file,
    () => assert.fail('the first need not wait'),
    async () => {
      holding.resolve();
      await told.promise;
      order.push('first');
    },
  );
  await holding.promise;
  const second = underLock(file, told.resolve, async () => void order.push('second'));
  await Promise.all([first, second]);
  assert.deepEqual(order, ['first', 'second']);
});

test('work that fails frees the lock', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'lock-'));
  t.after(() => rm(dir, { recursive: true }));
  const file = path.join(dir, 'lock');
  const failing = underLock(
    file,
    () => undefined,
    async () => {
      throw new Error('no');
    },
  );
  await assert.rejects(failing, /no/);
  assert.equal(
    await underLock(
      file,
      () => assert.fail('it is free'),
      async () => 1,
    ),
    1,
  );
});
