import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Readers } from './readers.ts';

it('nobody waits for the first reader of a run that is over', async () => {
  const readers = new Readers();
  const began = performance.now();
  const drained = readers.drained(3000);
  readers.clear();
  await drained;
  assert.ok(performance.now() - began < 1000);
});
