import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { parseAutostart, parseLifetime, parseService } from './service.ts';

const refused = (work: () => unknown) => assert.throws(work, (error) => isVivError(error, 'invalid_request'));

test('docker’s words for restarts mean what they mean there', () => {
  const policies: [string, object][] = [
    ['no', { policy: 'never' }],
    ['always', { policy: 'always' }],
    ['unless-stopped', { policy: 'always' }],
    ['on-failure', { policy: 'on_failure' }],
    ['on_failure', { policy: 'on_failure' }],
    ['on-failure:3', { policy: 'on_failure', maxAttempts: 3 }],
  ];
  for (const [restart, restartPolicy] of policies)
    assert.deepEqual(parseService({ restart }), { restartPolicy }, restart);
  const more = parseService({ restart: 'always', restartBackoff: '500ms', restartStableAfter: '1h' });
  assert.deepEqual(more.restartPolicy, { policy: 'always', backoffMs: 500, stableAfterMs: 3_600_000 });
  for (const restart of ['', 'sometimes', 'always:3', 'on-failure:', 'on-failure:x', 'constructor'])
    refused(() => parseService({ restart }));
  refused(() => parseService({ restartBackoff: '1' }));
});

test('a health check is one of three, with its times', () => {
  assert.deepEqual(parseService({ healthCmd: 'test -e /ready', healthRetries: '5' }).healthCheck, {
    type: 'exec',
    exec: { command: ['sh', '-c', 'test -e /ready'] },
    failureThreshold: 5,
  });
  assert.deepEqual(parseService({ healthHttp: '8080', healthInterval: '1m' }).healthCheck, {
    type: 'http',
    http: { port: 8080 },
    intervalMs: 60_000,
  });
  assert.deepEqual(parseService({ healthHttp: 'https:8443/a/b?c' }).healthCheck, {
    type: 'http',
    http: { port: 8443, path: '/a/b?c', scheme: 'https' },
  });
  assert.deepEqual(parseService({ healthTcp: '22' }).healthCheck, { type: 'tcp', tcp: { port: 22 } });
  assert.deepEqual(parseService({ healthcheck: false }).healthCheck, { type: 'none' });
  // What commander sets where the option exists and was not said.
  assert.deepEqual(parseService({ healthcheck: true }), {});
  refused(() => parseService({ healthCmd: 'x', healthTcp: '1' }));
  refused(() => parseService({ healthTcp: '1', healthcheck: false }));
  refused(() => parseService({ healthInterval: '1s' }));
  refused(() => parseService({ healthHttp: 'host:80' }));
});

test('a lifetime is a span or a time, and may be longer than a timer', () => {
  assert.deepEqual(parseLifetime('90d'), { ttlMs: 90 * 86_400_000 });
  assert.deepEqual(parseLifetime('0'), { ttlMs: 0 });
  assert.deepEqual(parseLifetime('2027-01-01T00:00:00Z'), { expiresAt: '2027-01-01T00:00:00Z' });
  refused(() => parseLifetime('soon'));
});

test('logs and autostart are set by any of their options', () => {
  assert.deepEqual(parseService({ logMaxSize: '1MB', logMaxFiles: '3' }).logs, {
    maxBytes: 2 ** 20,
    keep: 2,
  });
  assert.deepEqual(parseService({ logMaxFiles: '1' }).logs, { keep: 0 });
  assert.equal(parseAutostart({}), undefined);
  assert.deepEqual(parseAutostart({ autostart: true }), {});
  assert.deepEqual(parseAutostart({ autostartPriority: '-5', autostartDelay: '10s' }), {
    priority: -5,
    delayMs: 10_000,
  });
  refused(() => parseAutostart({ autostartPriority: 'high' }));
});
