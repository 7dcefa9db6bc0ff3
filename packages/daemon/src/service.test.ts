import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { check, Instance, WaitAnswer } from '@vivarium/api';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';

let house: TestHouse;
const ask = (method: string, path: string, body?: object): Promise<Answer> =>
  call(house.daemon.socket, method, path, body === undefined ? {} : { body });

before(async () => {
  house = await openHouse();
});
after(() => house[Symbol.asyncDispose]());

const make = async (more: object): Promise<Instance> => {
  const made = await ask('POST', '/instances', { image: 'busybox', start: false, ...more });
  assert.equal(made.status, 201, made.text);
  return check(Instance, made.json, 'instance');
};

test('policies come and go in hypeman’s words', async () => {
  const instance = await make({
    name: 'kept',
    ttl: '1h30m',
    restart_policy: { policy: 'on_failure', backoff: '1m30s', max_attempts: 2 },
    health_check: { type: 'tcp', tcp: { port: 80 }, interval: '500ms' },
  });
  assert.deepEqual(instance.restart_policy, {
    policy: 'on_failure',
    backoff: '1m30s',
    max_attempts: 2,
    stable_after: '10m0s',
  });
  assert.deepEqual(instance.health_check, {
    type: 'tcp',
    tcp: { port: 80 },
    interval: '500ms',
    timeout: '2s',
    start_period: '30s',
    failure_threshold: 3,
    success_threshold: 1,
  });
  const lives = Date.parse(instance.expires_at ?? '') - Date.parse(instance.created_at);
  assert.ok(Math.abs(lives - 5_400_000) < 5000, instance.expires_at ?? 'null');
  const patched = await ask('PATCH', '/instances/kept', {
    ttl: '0s',
    health_check: { type: 'none' },
    restart_policy: { policy: 'never' },
    env: { A: 'b' },
    tags: { team: 'be' },
  });
  assert.equal(patched.status, 200, patched.text);
  const changed = check(Instance, patched.json, 'instance');
  assert.equal(changed.expires_at, null);
  assert.equal(changed.health_check, undefined);
  assert.equal(changed.restart_policy, undefined);
  assert.deepEqual([changed.env.A, changed.tags], ['b', { team: 'be' }]);
  await ask('DELETE', '/instances/kept');
});

test('what is no duration, no time or no policy is refused, and nothing is changed', async () => {
  await make({ name: 'same' });
  for (const body of [
    { ttl: 'soon' },
    { ttl: '-1s' },
    { ttl: '1h', expires_at: '2999-01-01T00:00:00Z' },
    { expires_at: '2001-01-01T00:00:00Z' },
    { restart_policy: { policy: 'sometimes' } },
    { restart_policy: { policy: 'always', backoff: '5' } },
    { health_check: { type: 'http' } },
    { health_check: { type: 'http', http: { port: 80, path: 'x' } } },
    { tags: { a: '1' }, env: { 'A=': '' } },
  ]) {
    const answer = await ask('PATCH', '/instances/same', body);
    assert.deepEqual([answer.status, answer.json.code], [400, 'invalid_request'], JSON.stringify(body));
  }
  const { json } = await ask('GET', '/instances/same');
  assert.deepEqual([json.tags, json.expires_at], [{}, null]);
  const standby = await ask('PATCH', '/instances/same', { auto_standby: { enabled: true } });
  assert.deepEqual([standby.status, standby.json.auto_standby], [200, { enabled: true }]);
  await ask('DELETE', '/instances/same');
});

test('what is changed together is changed as a whole, or not at all', async () => {
  await make({ name: 'whole-taken' });
  await make({ name: 'whole' });
  const all = {
    tags: { a: '1' },
    overlay_size: '12GB',
    wake: 'always',
    auto_standby: { enabled: true },
    limits: { cpus: 1 },
    name: 'whole-taken',
  };
  const refused = await ask('PATCH', '/instances/whole', all);
  assert.deepEqual([refused.status, refused.json.code], [409, 'name_conflict']);
  const { json: same } = await ask('GET', '/instances/whole');
  assert.deepEqual(
    [same.tags, same.overlay_size, same.wake, same.auto_standby, same.limits],
    [{}, '10GB', undefined, undefined, undefined],
  );
  const done = await ask('PATCH', '/instances/whole', { ...all, name: 'whole-2' });
  assert.equal(done.status, 200, done.text);
  const { name, tags, overlay_size, wake, auto_standby } = check(Instance, done.json, 'instance');
  assert.deepEqual([name, tags, overlay_size, wake], ['whole-2', all.tags, '12GB', 'always']);
  assert.equal(auto_standby?.enabled, true);
  await ask('DELETE', '/instances/whole-2');
  await ask('DELETE', '/instances/whole-taken');
});

test('a start takes another command where the guest boots, and answers 409 where it runs', async () => {
  await make({ name: 'command', cmd: ['sleep', '1000'] });
  const started = await ask('POST', '/instances/command/start', { cmd: ['sleep', '2000'] });
  assert.equal(started.status, 200, started.text);
  assert.deepEqual(started.json.command, ['sleep', '2000']);
  const again = await ask('POST', '/instances/command/start', { entrypoint: ['sh'] });
  assert.deepEqual([again.status, again.json.code], [409, 'invalid_state']);
  await ask('DELETE', '/instances/command');
});

test('health is waited for like a state', async () => {
  await make({
    name: 'health',
    start: true,
    health_check: { type: 'exec', exec: { command: ['true'] }, interval: '100ms' },
  });
  const healthy = await ask('GET', '/instances/health/wait?health=healthy&timeout=20s');
  const answer = check(WaitAnswer, healthy.json, 'answer');
  assert.equal(answer.instance?.health_status?.status, 'healthy');
  const late = await ask('GET', '/instances/health/wait?health=unhealthy&timeout=50ms');
  assert.equal(late.json.timed_out, true);
  assert.equal((await ask('GET', '/instances/health/wait?timeout=1s')).status, 400);
  await ask('DELETE', '/instances/health');
});
