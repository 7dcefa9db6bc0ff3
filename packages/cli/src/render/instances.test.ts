import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeInstance } from '../../test/fake-vivarium.ts';
import { formatPort, formatStatus, shortReference } from './instances.ts';
import { fillTemplate } from './template.ts';

const now = Date.parse('2026-01-02T04:04:05Z');

test('a status says since when, how it ended, what is being done and what is wrong', () => {
  const web = fakeInstance({ name: 'web' });
  assert.equal(formatStatus(web, now), 'Running 1h');
  const exit = { reason: 'exited' as const, code: 7, message: '', at: '2026-01-02T04:04:00Z' };
  assert.equal(formatStatus({ ...web, state: 'Stopped', exit }, now), 'Stopped (exit 7) 5s ago');
  const operation = { id: '1', action: 'start', step: 'boot', startedAt: exit.at };
  assert.equal(formatStatus({ ...web, state: 'Starting', operation }, now), 'Starting (start: boot)');
  const suspended = { ...web, state: 'Suspended' as const, suspendedAt: '2026-01-02T03:59:05Z' };
  assert.equal(formatStatus(suspended, now), 'Suspended 5m');
  const stateError = { code: 'boot_failed' as const, message: 'no kernel' };
  assert.equal(formatStatus({ ...web, state: 'Error', stateError }, now), 'Error: no kernel');
});

test('a status says how well it is, what its policy is about to do, and when it ends for good', () => {
  const web = fakeInstance({ name: 'web' });
  const health = { status: 'unhealthy' as const, consecutiveFailures: 3, consecutiveSuccesses: 0 };
  const expiresAt = '2026-01-02T05:04:05Z';
  assert.equal(formatStatus({ ...web, health, expiresAt }, now), 'Running 1h (unhealthy), expires in 1h');
  const exit = { reason: 'exited' as const, code: 7, message: '', at: '2026-01-02T04:04:00Z' };
  const restartPolicy = { policy: 'on_failure' as const, backoffMs: 5000, maxAttempts: 3, stableAfterMs: 0 };
  const ended = { ...web, state: 'Stopped' as const, exit, restartPolicy };
  const restart = { attempts: 1, nextAttemptAt: '2026-01-02T04:04:09Z' };
  assert.equal(formatStatus({ ...ended, restart }, now), 'Stopped (exit 7) 5s ago, restart 2 of 3 in 4s');
  const blocked = { attempts: 3, blockedReason: 'max_attempts_exceeded' as const };
  assert.equal(
    formatStatus({ ...ended, restart: blocked }, now),
    'Stopped (exit 7) 5s ago, gave up after 3 restarts',
  );
});

test('references and ports are written as people do', () => {
  assert.equal(shortReference('docker.io/library/busybox:latest'), 'busybox');
  assert.equal(shortReference('docker.io/org/app:1'), 'org/app:1');
  assert.equal(shortReference('localhost:5000/app:1'), 'localhost:5000/app:1');
  assert.equal(shortReference(`docker.io/library/a@sha256:${'ab'.repeat(32)}`), 'a@abababababab');
  assert.equal(formatPort({ hostAddress: '::1', hostPort: 1, guestPort: 2 }), '[::1]:1->2');
});

test('a template is filled with fields, and an absent one is empty', () => {
  const info = fakeInstance({ name: 'web', tags: { a: 'b' } });
  assert.equal(
    fillTemplate('{{.name}}:{{ .image.reference }}:{{.exit.code}}', info),
    'web:docker.io/library/busybox:latest:',
  );
  assert.equal(fillTemplate('{{json .tags}} {{.command.0}}', info), '{"a":"b"} sh');
  assert.equal(fillTemplate('{{.constructor}}', info), '');
  assert.throws(() => fillTemplate('{{name}}', info), /not understood/);
});
