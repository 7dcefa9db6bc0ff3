import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { check, Volume } from '@vivarium/api';
import { SimulatedHost } from '@vivarium/engine';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';

const host = new SimulatedHost();
let house: TestHouse;
before(async () => {
  house = await openHouse({ host, templates: false });
});
after(() => house[Symbol.asyncDispose]());

const ask = (method: string, path: string, more?: Parameters<typeof call>[3]) =>
  call(house.daemon.socket, method, path, more);

const refused = (answer: Answer, status: number, code: string) => {
  assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text);
  assert.equal(answer.headers['x-should-retry'], 'false');
};

/** A tar with one file, as any tool makes it. */
function tarOfOne(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('0ustar\x0000', 156);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([
    header,
    Buffer.from(content),
    Buffer.alloc(512 - content.length),
    Buffer.alloc(1024),
  ]);
}

test('volumes are in hypeman’s shape, with ours added', async () => {
  const made = await ask('POST', '/volumes', {
    body: { name: 'data', size_gb: 1, tags: { team: 'be' }, odd: 1 },
  });
  assert.equal(made.status, 201, made.text);
  check(Volume, made.json, 'volume');
  const { id, name, size_gb, tags, attachments, size_bytes } = made.json as Volume;
  assert.deepEqual([name, size_gb, tags, attachments, size_bytes], ['data', 1, { team: 'be' }, [], 2 ** 30]);
  assert.equal(made.headers['x-viv-ignored-fields'], 'odd');
  assert.deepEqual((await ask('GET', '/volumes/data')).json, made.json);
  assert.deepEqual((await ask('GET', '/volumes?tags%5Bteam%5D=be')).json, [made.json]);
  assert.deepEqual((await ask('GET', '/volumes?tags%5Bteam%5D=fe')).json, []);
  refused(await ask('POST', '/volumes', { body: { name: 'data', size_gb: 1 } }), 409, 'name_conflict');
  refused(await ask('POST', '/volumes', { body: { name: 'none' } }), 400, 'invalid_size');
  const grown = await ask('PATCH', `/volumes/${id}`, { body: { size_gb: 1.5 } });
  assert.equal((grown.json as Volume).size_gb, 1.5);
  refused(await ask('PATCH', `/volumes/${id}`, { body: { size: 2 } }), 400, 'invalid_request');
  assert.equal((await ask('DELETE', `/volumes/${id}`)).status, 204);
  refused(await ask('GET', '/volumes/data'), 404, 'not_found');
});

test('instances are given volumes as hypeman has it, also while they run', async () => {
  for (const name of ['one', 'two']) await ask('POST', '/volumes', { body: { name, size_gb: 1 } });
  const { json: one } = await ask('GET', '/volumes/one');
  const made = await ask('POST', '/instances', {
    body: { image: 'busybox', name: 'web', volumes: [{ volume_id: 'one', mount_path: '/one' }] },
  });
  assert.equal(made.status, 201, made.text);
  const mounted = { volume_id: one.id, mount_path: '/one', readonly: false, overlay: false };
  assert.deepEqual(made.json.volumes, [mounted]);
  const attach = (volume: string, body: object) => ask('POST', `/instances/web/volumes/${volume}`, { body });
  refused(await attach('two', { mount_path: '/etc' }), 400, 'invalid_request');
  refused(await attach('two', { mount_path: '/one/below' }), 409, 'conflict');
  refused(await attach('two', { mount_path: '/t', overlay: true, readonly: false }), 400, 'invalid_request');
  refused(await attach('two', { mount_path: '/t', overlay: true, overlay_size: 'x' }), 400, 'invalid_size');
  const second = await attach('two', {
    mount_path: '/two',
    readonly: true,
    overlay: true,
    overlay_size: '1GB',
  });
  assert.equal(second.status, 200, second.text);
  const [, overlaid] = second.json.volumes as { readonly: boolean; overlay: boolean }[];
  assert.deepEqual([overlaid?.readonly, overlaid?.overlay], [true, true]);
  const { json: two } = await ask('GET', '/volumes/two');
  assert.deepEqual(two.attachments, [
    { instance_id: made.json.id, mount_path: '/two', readonly: true, instance_name: 'web', mode: 'overlay' },
  ]);
  refused(await ask('DELETE', '/volumes/two'), 409, 'conflict');
  const detached = await ask('DELETE', '/instances/web/volumes/two');
  assert.deepEqual(detached.json.volumes, [mounted]);
  refused(await ask('DELETE', '/instances/web/volumes/two'), 404, 'not_found');
  assert.equal((await ask('DELETE', '/instances/web')).status, 204);
  for (const name of ['one', 'two']) assert.equal((await ask('DELETE', `/volumes/${name}`)).status, 204);
});

test('copies and archives are asked for without waiting for them', async () => {
  const { id } = (await ask('POST', '/volumes', { body: { name: 'data', size_gb: 1 } })).json;
  const later = { prefer: 'respond-async' };
  const gzip = { ...later, 'content-type': 'application/gzip' };
  for (const [path, action, more] of [
    ['/volumes/data/clone', 'clone-volume', { body: { name: 'made' }, headers: later }],
    ['/volumes/data/snapshot', 'snapshot-volume', { body: { name: 'made' }, headers: later }],
    [
      '/volumes/from-archive?name=made&size_gb=1',
      'import-volume',
      { body: gzipSync(tarOfOne('a', 'x')), headers: gzip },
    ],
  ] as const) {
    const asked = await ask('POST', path, more);
    assert.deepEqual([asked.status, asked.json.action], [202, action], asked.text);
    const { json } = await ask('GET', `/operations/${asked.json.id}?wait=60s`);
    const made = (await ask('GET', '/volumes/made')).json;
    assert.deepEqual([json.state, json.result], ['done', [{ kind: 'volume', id: made.id, name: 'made' }]]);
    const lines = await ask('GET', `/operations/${asked.json.id}/events`);
    assert.match(lines.text, /"kind":"volume"/);
    assert.equal((await ask('DELETE', '/volumes/made')).status, 204);
  }
  const evil = { body: gzipSync(tarOfOne('../evil', 'x')), headers: gzip };
  const asked = await ask('POST', '/volumes/from-archive?name=evil&size_gb=1', evil);
  const { state, error } = await house.viv.operations.wait(asked.json.id as string);
  assert.deepEqual([state, error?.code], ['undone', 'archive_hostile']);
  refused(await ask('GET', '/volumes/evil'), 404, 'not_found');
  refused(await ask('POST', '/volumes/none/clone', { headers: later }), 404, 'not_found');
  assert.equal((await ask('DELETE', `/volumes/${id}`)).status, 204);
});

test('an import that is not waited for is left alone only once its archive is here', async () => {
  const whole = gzipSync(tarOfOne('a', 'x'));
  host.faults.inject('boot.init', { effect: 'hang' });
  const begun = host.faults.reached('boot.init');
  const sent = request({
    socketPath: house.daemon.socket,
    method: 'POST',
    path: '/volumes/from-archive?name=kept&size_gb=1',
    headers: { prefer: 'respond-async', 'content-type': 'application/gzip' },
  });
  let status: number | undefined;
  const answered = once(sent, 'response').then(([answer]: IncomingMessage[]) => {
    status = answer?.statusCode;
    answer?.resume();
  });
  sent.write(whole.subarray(0, 20));
  await begun;
  assert.deepEqual((await ask('GET', '/volumes')).json, []);
  assert.equal(status, undefined, 'it is still being sent');
  host.faults.clear();
  sent.end(whole.subarray(20));
  await answered;
  assert.equal(status, 202);
  const [operation] = (await house.viv.operations.list({ actions: ['import-volume'] })).items;
  assert.equal((await house.viv.operations.wait(operation?.id ?? '')).state, 'done');
  await house.viv.volumes.remove('kept');
});

test('a volume comes out of an archive and goes into one', async () => {
  const headers = { 'content-type': 'application/gzip' };
  const post = (query: string, body: Buffer) =>
    ask('POST', `/volumes/from-archive?${query}`, { body, headers });
  const made = await post('name=site&size_gb=1&tags%5Bteam%5D=be', gzipSync(tarOfOne('index.html', 'hello')));
  assert.equal(made.status, 201, made.text);
  assert.deepEqual((made.json as Volume).tags, { team: 'be' });
  const out = await ask('GET', '/volumes/site/archive');
  assert.equal(out.headers['content-type'], 'application/gzip');
  const clone = await ask('POST', '/volumes/site/clone', { body: { name: 'site2' } });
  assert.equal(clone.status, 201, clone.text);
  const kept = await ask('POST', '/volumes/site/snapshot');
  assert.deepEqual([kept.status, (kept.json as Volume).read_only], [201, true]);
  refused(await post('name=evil&size_gb=1', gzipSync(tarOfOne('../evil', 'x'))), 422, 'archive_hostile');
  refused(await post('name=evil&size_gb=1', Buffer.from('no archive')), 422, 'archive_invalid');
  refused(await post('name=evil', gzipSync(tarOfOne('a', 'x'))), 400, 'invalid_size');
  refused(await ask('GET', '/volumes/evil'), 404, 'not_found');
  for (const { id } of (await ask('GET', '/volumes')).json as unknown as Volume[])
    assert.equal((await ask('DELETE', `/volumes/${id}`)).status, 204);
});
