import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { check, Operation, openApi } from '@vivarium/api';
import { SimulatedHost } from '@vivarium/engine';
import { isVivError } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';

const host = new SimulatedHost();
let house: TestHouse;
before(async () => {
  house = await openHouse({ host, templates: false });
});
after(() => house[Symbol.asyncDispose]());

const later = { prefer: 'respond-async' };
const ask = (method: string, path: string, more?: Parameters<typeof call>[3]): Promise<Answer> =>
  call(house.daemon.socket, method, path, more);

test('who prefers not to wait gets 202 and where to look', async () => {
  const made = await ask('POST', '/instances', { body: { image: 'busybox', name: 'later' }, headers: later });
  assert.equal(made.status, 202, made.text);
  const { id, action, background } = check(Operation, made.json, 'operation');
  assert.deepEqual([action, background], ['run', true]);
  assert.equal(made.headers.location, `/operations/${id}`);
  assert.equal(made.headers['preference-applied'], 'respond-async');
  const ended = await ask('GET', `/operations/${id}?wait=60s`);
  const report = check(Operation, ended.json, 'operation');
  assert.deepEqual([report.state, report.outcome, report.resource?.name], ['done', 'done', 'later']);
  assert.equal((await ask('GET', '/instances/later')).json.state, 'Running');
  const sent = await ask('GET', `/operations/${id}/events`);
  assert.equal(sent.text, `event: operation\ndata: ${JSON.stringify({ operation: ended.json })}\n\n`);
});

test('an action on an instance, a pull and a delete are asked for in the same way', async () => {
  await ask('POST', '/instances', { body: { image: 'busybox', name: 'same', start: false } });
  for (const [method, path, action, body] of [
    ['POST', '/instances/same/start', 'start'],
    ['POST', '/instances/same/pause', 'pause'],
    ['POST', '/instances/same/resume', 'resume'],
    ['POST', '/instances/same/fork', 'fork', { from_running: true }],
    ['POST', '/instances/same/snapshots', 'snapshot', {}],
    ['POST', '/images', 'pull', { name: 'busybox' }],
    ['DELETE', '/instances/same?graceful_shutdown=true', 'delete'],
  ] as const) {
    const answer = await ask(method, path, { headers: later, ...(body === undefined ? {} : { body }) });
    assert.equal(answer.status, 202, `${path}: ${answer.text}`);
    assert.equal(answer.json.action, action);
    const { json } = await ask('GET', `/operations/${answer.json.id}?wait=60s`);
    assert.equal(json.state, 'done', `${path}: ${JSON.stringify(json)}`);
    if (action === 'fork') await ask('DELETE', `/instances/${(json.result as { id: string }[])[0]?.id}`);
  }
});

test('what is wrong with an action as things are is a plain error', async () => {
  const absent = await ask('POST', '/instances/absent/start', { headers: later });
  assert.deepEqual([absent.status, absent.json.code], [404, 'not_found']);
  await ask('POST', '/instances', { body: { image: 'busybox', name: 'plain', start: false } });
  const wrong = await ask('POST', '/instances/plain/pause', { headers: later });
  assert.deepEqual([wrong.status, wrong.json.code], [409, 'invalid_state']);
  await ask('DELETE', '/instances/plain');
});

test('a client that can wait a while gets the answer itself where it is there by then', async () => {
  const body = { image: 'busybox', name: 'waits', start: false };
  const made = await ask('POST', '/instances', { body, headers: { prefer: 'wait=60, respond-async' } });
  assert.deepEqual([made.status, made.json.name], [201, 'waits']);
  await ask('DELETE', '/instances/waits');
});

test('a create in the background goes on when its client has vanished', async () => {
  host.faults.inject('boot.init', { effect: 'hang' });
  const reached = host.faults.reached('boot.init');
  const sent = request({
    socketPath: house.daemon.socket,
    method: 'POST',
    path: '/instances',
    headers: { ...later, 'content-type': 'application/json' },
  });
  sent.on('error', () => undefined).end(JSON.stringify({ image: 'busybox', name: 'orphan' }));
  await reached;
  sent.destroy();
  host.faults.clear();
  const [operation] = (await house.viv.operations.list({ actions: ['run'], states: ['running'] })).items;
  assert.equal((await house.viv.operations.wait(operation?.id ?? '')).state, 'done');
  assert.equal((await house.viv.get('orphan')).info.state, 'Running');
});

test('an operation is cancelled by both of its routes, and watched to its end', async () => {
  const vm = await house.viv.create({ image: 'busybox', name: 'cut' });
  for (const [method, tail] of [
    ['DELETE', ''],
    ['POST', '/cancel'],
  ] as const) {
    host.faults.inject('boot.init', { effect: 'hang' });
    const reached = host.faults.reached('boot.init');
    const { id } = await vm.start().detach();
    await reached;
    const watched = Array.fromAsync(house.viv.operations.watch(id));
    const { json } = await ask(method, `/operations/${id}${tail}`);
    assert.deepEqual([json.state, json.outcome], ['cancelled', 'undone']);
    const updates = await watched;
    assert.ok(updates.some((update) => 'step' in update));
    assert.ok(updates.some((update) => 'progress' in update && update.progress.stage === 'launching'));
    assert.deepEqual(updates.at(-1), { operation: await house.viv.operations.get(id) });
    host.faults.clear();
  }
});

test('a task of the SDK can be detached where it is made, and not later', async () => {
  const vm = await house.viv.create({ image: 'busybox', name: 'turn' });
  const task = vm.start();
  await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(
    task.detach(),
    (error) => isVivError(error, 'invalid_state') && /detach/.test(error.hint ?? ''),
  );
  assert.equal((await task).state, 'Running');
  const left = vm.stop();
  const first = await left.detach();
  assert.deepEqual(await left.detach(), first);
  await assert.rejects(Promise.resolve(left), (error) => isVivError(error, 'invalid_state'));
  await house.viv.operations.wait(first.id);
});

test('operations are listed by instance, state and action, page by page', async () => {
  const vm = await house.viv.create({ image: 'busybox', name: 'listed' });
  await vm.start();
  await vm.stop();
  const names = async (query: string) => {
    const answer = await ask('GET', `/operations?instance=listed${query}`);
    return (answer.json as unknown as Operation[]).map(({ action }) => action);
  };
  assert.deepEqual(await names(''), ['stop', 'start', 'create']);
  assert.deepEqual(await names('&action=start&action=create'), ['start', 'create']);
  assert.deepEqual(await names('&state=failed&state=undone'), []);
  const page = await ask('GET', '/operations?instance=listed&limit=2');
  const rest = await ask('GET', `/operations?instance=listed&limit=2&cursor=${page.headers['x-viv-next']}`);
  assert.deepEqual(
    [(rest.json as unknown as Operation[]).length, rest.headers['x-viv-next']],
    [1, undefined],
  );
  assert.equal((await ask('GET', '/operations?state=odd')).status, 400);
  assert.equal((await ask('GET', '/operations?cursor=odd')).status, 400);
});

test('the document says of every long call that it can be had later', () => {
  const { paths } = openApi('1') as { paths: Record<string, Record<string, { responses: object }>> };
  assert.ok('202' in (paths['/instances']?.post?.responses ?? {}));
  assert.ok('202' in (paths['/instances/{id}/start']?.post?.responses ?? {}));
  assert.equal('202' in (paths['/instances']?.get?.responses ?? {}), false);
});
