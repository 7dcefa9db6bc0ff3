import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterCheck, type Outcome, outputBytes, starting } from './status.ts';

const check = { failureThreshold: 3, successThreshold: 2 };

/** The statuses after a row of checks, one a second; failures count from second `graceSeconds`. */
function statuses(outcomes: string, graceSeconds = 0): string[] {
  let health = starting;
  return [...outcomes].map((outcome, second) => {
    const found: Outcome = outcome === '+' ? { ok: true } : { ok: false, error: 'no' };
    health = afterCheck(health, found, check, { now: second * 1000, countsFrom: graceSeconds * 1000 });
    return health.status;
  });
}

test('so many in a row make it healthy or unhealthy, and one of the other kind begins the count anew', () => {
  assert.deepEqual(statuses('+-++'), ['starting', 'starting', 'starting', 'healthy']);
  assert.deepEqual(statuses('++--+---'), ['starting', ...Array(6).fill('healthy'), 'unhealthy']);
  assert.deepEqual(statuses('---+-++'), ['starting', 'starting', ...Array(4).fill('unhealthy'), 'healthy']);
});

test('failures in the start period are told and not counted; a success ends it', () => {
  assert.deepEqual(statuses('-------', 5), [...Array(7).fill('starting')]);
  assert.deepEqual(statuses('--------', 5).at(-1), 'unhealthy');
  assert.deepEqual(statuses('++---', 60).at(-1), 'unhealthy');
});

test('the last output and the last error are kept, and no more of them than can be shown', () => {
  const long = 'x'.repeat(10_000);
  const failed = afterCheck(starting, { ok: false, output: long, error: long }, check, {
    now: 0,
    countsFrom: 0,
  });
  assert.equal(failed.lastOutput?.length, outputBytes);
  assert.equal(failed.lastError?.length, 1024);
  const well = afterCheck(failed, { ok: true }, check, { now: 1000, countsFrom: 0 });
  assert.equal(well.lastOutput, undefined);
  assert.equal(well.lastFailureAt, new Date(0).toISOString());
  assert.equal(well.lastSuccessAt, new Date(1000).toISOString());
});
