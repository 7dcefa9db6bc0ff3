import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepsTime } from './clock-rate.ts';

test('A guest keeps time where the counter is as fast as it took it to be, within 200 parts per million', () => {
  for (const [taken, keeps] of [
    [2_700_000, true],
    [2_700_540, true],
    [2_699_460, true],
    [2_700_541, false],
    [2_699_459, false],
    [2_400_000, false],
  ] as const) {
    assert.equal(keepsTime(taken, 2_700_000), keeps, String(taken));
  }
});

test('Nothing is taken for granted of a rate that is not known', () => {
  assert.equal(keepsTime(undefined, 2_700_000), false);
  assert.equal(keepsTime(2_700_000, undefined), false);
  assert.equal(keepsTime(undefined, undefined), false);
});
