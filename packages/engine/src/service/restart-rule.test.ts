import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExitInfo } from '@vivarium/model';
import type { InstanceRecord } from '../store/record.ts';
import { restartDefaults } from './options.ts';
import { afterExit, isFailure, type RestartState, stoppedBySomebody } from './restart-rule.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const exit = (reason: ExitInfo['reason'], code?: number): ExitInfo => ({
  reason,
  ...(code === undefined ? {} : { code }),
  message: '',
  at: new Date(now).toISOString(),
});

/** A record with what the rule looks at. */
function record(policy: 'always' | 'on_failure' | undefined, restart?: RestartState): InstanceRecord {
  const restartPolicy = policy === undefined ? undefined : { ...restartDefaults, policy };
  return { spec: { restartPolicy }, restart, upAt: new Date(now).toISOString() } as unknown as InstanceRecord;
}

test('each end is a failure or is not, and each policy makes of it what it promises', () => {
  const ends: [ExitInfo, { failure: boolean; always: boolean }][] = [
    [exit('exited', 0), { failure: false, always: true }],
    [exit('exited', 1), { failure: true, always: true }],
    [exit('exited', 137), { failure: true, always: true }],
    [exit('exited'), { failure: true, always: true }],
    [exit('panicked'), { failure: true, always: true }],
    [exit('vmm_exited'), { failure: true, always: true }],
    [exit('vmm_exited', 0), { failure: true, always: true }],
    [exit('guest_off'), { failure: true, always: true }],
    [exit('guest_off', 0), { failure: false, always: true }],
    [exit('stopped', 143), { failure: false, always: false }],
    [exit('killed', 137), { failure: false, always: false }],
  ];
  for (const [end, { failure, always }] of ends) {
    const told = JSON.stringify(end);
    assert.equal(isFailure(end), failure, told);
    const due = (policy: 'always' | 'on_failure' | undefined) =>
      afterExit(record(policy), end, now).restart?.nextAttemptAt !== undefined;
    assert.deepEqual([due('on_failure'), due('always'), due(undefined)], [failure, always, false], told);
  }
});

test('a stop for its health is restarted, and a stop by somebody in the same moment is not', () => {
  const failing: RestartState = { attempts: 2, failing: true, lastReason: 'health_check_failed' };
  const restarted = afterExit(record('on_failure', failing), exit('stopped', 143), now).restart;
  assert.equal(restarted?.lastReason, 'health_check_failed');
  assert.equal(restarted?.nextAttemptAt, new Date(now + 5000).toISOString());
  assert.equal(restarted?.failing, undefined);
  const held = stoppedBySomebody(record('on_failure', failing));
  assert.ok(held);
  // Also where nobody was there any more to see that the end was the stop's.
  for (const end of [exit('stopped', 143), exit('exited', 143), exit('vmm_exited')]) {
    const { restart } = afterExit(record('on_failure', held), end, now);
    assert.deepEqual([restart?.blockedReason, restart?.nextAttemptAt], ['manual_stop', undefined]);
  }
});

test('a stop is nothing to an instance without a policy, and is written down once', () => {
  assert.equal(stoppedBySomebody(record(undefined)), undefined);
  assert.equal(stoppedBySomebody(record('always', { attempts: 0, blockedReason: 'manual_stop' })), undefined);
  const exceeded: RestartState = { attempts: 3, blockedReason: 'max_attempts_exceeded' };
  assert.equal(stoppedBySomebody(record('always', exceeded))?.blockedReason, 'manual_stop');
});
