import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import {
  Capabilities,
  check,
  features,
  Image,
  Instance,
  Operation,
  PathInfo,
  routes,
  Stats,
  WaitAnswer,
} from '@vivarium/api';
import { packFile } from '@vivarium/archive';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call, sendRaw } from './testing/http.ts';

let house: TestHouse;
const ask = (method: string, path: string, more?: Parameters<typeof call>[3]): Promise<Answer> =>
  call(house.daemon.socket, method, path, more);
const lines = { accept: 'application/x-ndjson' };

before(async () => {
  house = await openHouse();
});
after(() => house[Symbol.asyncDispose]());

function refused(answer: Answer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.code, code);
  assert.equal(typeof answer.json.message, 'string');
}

test('an instance goes through its life in hypeman’s words', async () => {
  const body = {
    image: 'busybox',
    name: 'life',
    size: '512MB',
    vcpus: 2,
    env: { A: 'b' },
    tags: { team: 'be' },
  };
  const made = await ask('POST', '/instances', { body });
  assert.equal(made.status, 201, made.text);
  const instance = check(Instance, made.json, 'instance');
  assert.equal(instance.state, 'Running');
  assert.equal(instance.size, '512MB');
  assert.equal(instance.memory_bytes, 512 * 1024 ** 2);
  const again = await ask('POST', '/instances/life/start');
  assert.deepEqual([again.status, again.json.state, again.json.changed], [200, 'Running', false]);
  refused(await ask('POST', '/instances/life/start', { body: { cmd: ['x'] } }), 409, 'invalid_state');
  for (const [action, state] of [
    ['pause', 'Paused'],
    ['resume', 'Running'],
    ['restart', 'Running'],
    ['stop', 'Stopped'],
    ['prepare', 'Created'],
    ['start', 'Running'],
    ['shutdown', 'Shutdown'],
  ]) {
    const answer = await ask('POST', `/instances/${instance.id}/${action}`);
    assert.deepEqual([answer.status, answer.json.state], [200, state], `${action}: ${answer.text}`);
    check(Instance, answer.json, action ?? '');
  }
  const gone = await ask('DELETE', '/instances/life');
  assert.deepEqual([gone.status, gone.text], [204, '']);
  refused(await ask('GET', '/instances/life'), 404, 'not_found');
});

test('a cursor that is none is refused, and is no failure of the daemon', async () => {
  await ask('POST', '/instances', { body: { image: 'busybox', name: 'cursors' } });
  assert.equal((await ask('GET', '/instances/cursors/files/list?path=/&cursor=%25')).status, 400);
  await ask('DELETE', '/instances/cursors');
});

test('a created instance can be left stopped', async () => {
  const { json } = await ask('POST', '/instances', { body: { image: 'busybox', start: false } });
  assert.equal(json.state, 'Stopped');
  await ask('DELETE', `/instances/${json.id}`);
});

test('a listing filters by state and tags, and goes by pages where it is asked to', async () => {
  for (const n of [1, 2, 3]) {
    await ask('POST', '/instances', {
      body: { image: 'busybox', name: `list-${n}`, start: n === 1, tags: { odd: `${n % 2}` } },
    });
  }
  const names = async (query: string) => {
    const answer = await ask('GET', `/instances${query}`);
    assert.equal(answer.status, 200, answer.text);
    return (answer.json as unknown as Instance[]).map(({ name }) => name).sort();
  };
  assert.deepEqual(await names(''), ['list-1', 'list-2', 'list-3']);
  assert.deepEqual(await names('?tags%5Bodd%5D=1'), ['list-1', 'list-3']);
  assert.deepEqual(await names('?state=Running'), ['list-1']);
  assert.deepEqual(await names('?viv_state=Stopped&viv_state=Running&tags[odd]=0'), ['list-2']);
  const page = await ask('GET', '/instances?limit=2');
  assert.equal((page.json as unknown as Instance[]).length, 2);
  const rest = await ask('GET', `/instances?limit=2&cursor=${page.headers['x-viv-next']}`);
  assert.equal((rest.json as unknown as Instance[]).length, 1);
  assert.equal(rest.headers['x-viv-next'], undefined);
  await ask('POST', '/instances/list-1/stop', { body: { force: true } });
  const [stopped] = (await ask('GET', '/instances?tags[odd]=1')).json as unknown as Instance[];
  assert.deepEqual(stopped, (await ask('GET', '/instances/list-1')).json);
  assert.equal(stopped?.viv_state, 'Stopped');
  refused(await ask('GET', '/instances?state=Dancing'), 400, 'invalid_request');
  refused(await ask('GET', '/instances?limit=0'), 400, 'invalid_request');
  for (const n of [1, 2, 3]) await ask('DELETE', `/instances/list-${n}`);
});

test('an answer says how long it is, and to HEAD no more than that', async () => {
  await ask('POST', '/instances', { body: { image: 'busybox', name: 'measured', tags: { of: 'größe' } } });
  const page = await ask('GET', '/instances?limit=1');
  assert.equal(page.headers['content-length'], String(Buffer.byteLength(page.text)));
  const head = await ask('HEAD', '/instances?limit=1');
  assert.equal(head.headers['content-length'], page.headers['content-length']);
  await ask('DELETE', '/instances/measured');
});

test('fields that nobody knows are named on hypeman’s routes and refused on ours', async () => {
  const made = await ask('POST', '/instances', {
    body: { image: 'busybox', name: 'extra', hotplug_size: '3GB', odd: 1 },
  });
  assert.equal(made.status, 201);
  assert.equal(made.headers['x-viv-ignored-fields'], 'hotplug_size, odd');
  const restart = await ask('POST', '/instances/extra/restart', { body: { timeoutms: 5 } });
  refused(restart, 400, 'invalid_request');
  assert.equal(restart.json.hint, 'Did you mean timeout_ms?');
  const named = await ask('GET', '/instances?stat=Running&nonsense%5Bx%5D=1&limit=5');
  assert.deepEqual([named.status, named.headers['x-viv-ignored-fields']], [200, 'stat, nonsense']);
  const deep = await ask('POST', '/instances', {
    body: {
      image: 'busybox',
      name: 'extra-2',
      start: false,
      network: { speed: 1 },
      ports: [{ guest_port: 1, x: 1 }],
    },
  });
  assert.equal(deep.headers['x-viv-ignored-fields'], 'network.speed, ports[0].x');
  refused(await ask('GET', '/pools?name=x'), 400, 'invalid_request');
  const query = await ask('GET', '/events?sinc=1');
  refused(query, 400, 'invalid_request');
  assert.equal(query.json.hint, 'Did you mean since?');
  const pool = { name: 'p', instance: { image: 'busybox', ports: [{ gest_port: 1, guest_port: 1 }] } };
  const nested = await ask('POST', '/pools', { body: pool });
  refused(nested, 400, 'invalid_request');
  assert.equal(nested.json.hint, 'Did you mean guest_port?');
  await ask('DELETE', '/instances/extra-2');
  await ask('DELETE', '/instances/extra');
});

test('what hypeman can and we cannot is said, never left out in silence', async () => {
  for (const more of [
    { devices: ['x'] },
    { gpu: { profile: 'x' } },
    { hypervisor: 'vz' },
    { snapshot_policy: { compression: { enabled: true } } },
    { network: { egress: { enabled: true } } },
  ]) {
    refused(await ask('POST', '/instances', { body: { image: 'busybox', ...more } }), 501, 'not_supported');
  }
  const body = {
    image: 'busybox',
    start: false,
    volumes: [],
    hypervisor: 'qemu',
    snapshot_policy: { compression: { enabled: false } },
    skip_kernel_headers: true,
    restart_policy: { policy: 'never' },
    network: { enabled: false },
  };
  const made = await ask('POST', '/instances', { body });
  assert.equal(made.status, 201, made.text);
  assert.deepEqual(made.json.network, { enabled: false, ip: null, mac: null });
  await ask('DELETE', `/instances/${made.json.id}`);
});

test('a wrong body, type, path or method gets a clean answer that says not to try again', async () => {
  const json = { 'content-type': 'application/json' };
  const bad: [Promise<Answer>, number][] = [
    [ask('POST', '/instances', { body: '{"image":', headers: json }), 400],
    [ask('POST', '/instances', { body: Buffer.from([0x22, 0xff, 0x22]), headers: json }), 400],
    [ask('POST', '/instances', { body: {} }), 400],
    [ask('POST', '/instances', { body: '[]', headers: json }), 400],
    [ask('POST', '/instances', { body: 'image=busybox', headers: { 'content-type': 'text/plain' } }), 415],
    [ask('POST', '/instances', { body: { image: 'busybox', name: 'Bad Name' } }), 400],
    [ask('POST', '/instances', { body: { image: 'busybox', size: 'lots' } }), 400],
    [ask('POST', '/instances', { body: `"${'x'.repeat(2 ** 20)}"`, headers: json }), 413],
    [ask('GET', '/nowhere'), 404],
    [ask('PUT', '/instances'), 405],
    [ask('GET', '/instances/x/exec'), 426],
    [ask('GET', '/instances/%ff'), 404],
    [ask('PATCH', '/instances/absent', { body: { name: 'x' } }), 404],
  ];
  for (const [pending, status] of bad) {
    const answer = await pending;
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.headers['x-should-retry'], 'false');
    assert.equal(typeof answer.json.code, 'string');
  }
  assert.equal((await ask('PUT', '/instances')).headers.allow, 'POST, GET');
});

test('dots as a name lead to no other route', async () => {
  await ask('POST', '/instances', { body: { image: 'busybox', name: 'dots' } });
  await ask('POST', '/instances/dots/standby');
  for (const sid of ['..', '.', '%2e%2E', '.%2e'])
    refused(await ask('POST', `/instances/dots/snapshots/${sid}/restore`), 400, 'invalid_request');
  assert.equal((await ask('GET', '/instances/dots')).json.viv_state, 'Suspended');
  refused(await ask('GET', '/instances/dots/snapshots/...'), 404, 'not_found');
  refused(await ask('GET', '/instances/nosuch/stat?path=/var/../.'), 404, 'not_found');
  await ask('DELETE', '/instances/dots');
});

test('bytes that are no HTTP end in a 400, and the daemon goes on', async () => {
  assert.match(await sendRaw(house.daemon.socket, 'garbage\r\n\r\n'), /^HTTP\/1.1 400/);
  assert.match(await sendRaw(house.daemon.socket, Buffer.alloc(3000, 255)), /^HTTP\/1.1 400/);
  assert.match(
    await sendRaw(house.daemon.socket, `GET / HTTP/1.1\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`),
    /^HTTP\/1.1 431/,
  );
  assert.equal((await ask('GET', '/health')).json.status, 'ok');
});

test('images are pulled in the background, found by an encoded name, tagged and removed', async () => {
  const pulled = await ask('POST', '/images', { body: { name: 'registry.test/team/app:1' } });
  assert.equal(pulled.status, 202);
  check(Image, pulled.json, 'image');
  const name = encodeURIComponent('registry.test/team/app:1');
  const ready = await ask('GET', `/images/${name}`);
  assert.equal(check(Image, ready.json, 'image').status, 'ready');
  const tagged = await ask('POST', `/images/${name}/tag`, { body: { target: 'registry.test/team/app:2' } });
  assert.equal(tagged.status, 200, tagged.text);
  const list = (await ask('GET', '/images')).json as unknown as Image[];
  assert.ok(list.some(({ references }) => references?.includes('registry.test/team/app:2')));
  const removed = await ask('DELETE', `/images/${encodeURIComponent('registry.test/team/app:2')}`, {
    headers: lines,
  });
  assert.deepEqual(JSON.parse(removed.text).result.untagged, ['registry.test/team/app:2']);
  assert.equal((await ask('DELETE', `/images/${name}`)).status, 204);
  refused(await ask('GET', `/images/${name}`), 404, 'image_not_found');
  refused(
    await ask('POST', '/images', { body: { name: 'x', platform: 'linux/riscv64' } }),
    501,
    'not_supported',
  );
  refused(await ask('POST', '/images/import?path=relative'), 400, 'invalid_request');
  refused(await ask('POST', '/images/import', { body: Buffer.from('no tar') }), 422, 'archive_invalid');
});

test('an image keeps the tags of the pull that asked for them last, and a listing goes by them', async () => {
  const image = async (tags?: object) => {
    await ask('POST', '/images', { body: { name: 'tagged', tags } });
    return (await ask('GET', '/images/tagged')).json as unknown as Image;
  };
  assert.deepEqual((await image()).tags, {});
  assert.deepEqual((await image({ team: 'be' })).tags, { team: 'be' });
  assert.deepEqual((await image({ team: 'fe', a: 'b' })).tags, { team: 'fe', a: 'b' });
  assert.deepEqual((await image()).tags, { team: 'fe', a: 'b' });
  const listed = async (query: string) =>
    ((await ask('GET', `/images${query}`)).json as unknown as Image[]).map(({ name }) => name);
  assert.deepEqual(await listed('?tags[team]=fe&tags[a]=b'), ['tagged']);
  assert.deepEqual(await listed('?tags[team]=be'), []);
  const many = Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`t${n}`, 'x']));
  refused(await ask('POST', '/images', { body: { name: 'tagged', tags: many } }), 400, 'invalid_request');
});

test('a running instance shows its files, logs, statistics and states', async () => {
  await ask('POST', '/instances', {
    body: { image: 'busybox', name: 'seen', cmd: ['sh', '-c', 'echo one; echo two; sleep 1000'] },
  });
  const info = check(PathInfo, (await ask('GET', '/instances/seen/stat?path=/')).json, 'stat');
  assert.deepEqual([info.exists, info.is_dir], [true, true]);
  assert.equal((await ask('GET', '/instances/seen/stat?path=/absent')).json.exists, false);
  refused(await ask('GET', '/instances/seen/stat'), 400, 'invalid_request');
  assert.equal(
    (await ask('PUT', '/instances/seen/files?path=/tmp/f&mode=384', { body: 'text' })).status,
    204,
  );
  assert.equal((await ask('GET', '/instances/seen/files?path=/tmp/f')).text, 'text');
  refused(await ask('GET', '/instances/seen/files?path=/absent'), 404, 'path_not_found');
  refused(await ask('GET', '/instances/seen/files/archive?path=/absent'), 404, 'path_not_found');
  const tar: Uint8Array[] = [];
  for await (const chunk of packFile(
    { name: 'g', mode: 0o644, uid: 0, gid: 0, mtimeMs: 0 },
    Buffer.from('tarred'),
  ))
    tar.push(chunk);
  const copied = await ask('PUT', '/instances/seen/files/archive?path=/tmp', { body: Buffer.concat(tar) });
  assert.equal(copied.json.entries, 1, copied.text);
  assert.match((await ask('GET', '/instances/seen/files/archive?path=/tmp/g')).text, /tarred/);
  check(Stats, (await ask('GET', '/instances/seen/stats')).json, 'stats');
  const log = await ask('GET', '/instances/seen/logs?tail=1');
  assert.equal(log.headers['content-type'], 'text/event-stream');
  assert.equal(log.text, 'data: "two"\n\n');
  const entries = (await ask('GET', '/instances/seen/logs?tail=all', { headers: lines })).text
    .trim()
    .split('\n');
  assert.deepEqual(
    entries.map((line) => JSON.parse(line).text),
    ['one', 'two'],
  );
  refused(await ask('GET', '/instances/seen/logs?tail=-1'), 400, 'invalid_request');
  check(WaitAnswer, (await ask('GET', '/instances/seen/wait?state=Running')).json, 'wait');
  assert.equal((await ask('GET', '/instances/seen/wait?state=Paused&timeout=50ms')).json.timed_out, true);
  refused(await ask('GET', '/instances/seen/wait?state=Running&timeout=soon'), 400, 'invalid_request');
  const renamed = await ask('PATCH', '/instances/seen', { body: { name: 'seen-2', overlay_size: '12GB' } });
  assert.deepEqual([renamed.json.name, renamed.json.overlay_size], ['seen-2', '12GB']);
  refused(await ask('DELETE', '/instances/seen-2?force=false'), 409, 'invalid_state');
  assert.equal((await ask('DELETE', '/instances/seen-2?graceful_shutdown=true')).status, 204);
});

test('a long call tells its stages as lines, and its failure as the last one', async () => {
  const made = await ask('POST', '/instances', {
    body: { image: 'busybox', name: 'staged' },
    headers: lines,
  });
  const told = made.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.equal(told.at(-2).progress.stage, 'running');
  check(Instance, told.at(-1).result, 'result');
  const failed = await ask('POST', '/instances', {
    body: { image: 'busybox', name: 'staged' },
    headers: lines,
  });
  assert.equal(JSON.parse(failed.text.trim().split('\n').at(-1) ?? '').error.code, 'name_conflict');
  await ask('DELETE', '/instances/staged');
});

test('events go on after the last one seen, and name operations that can be looked at', async () => {
  await ask('POST', '/instances', { body: { image: 'busybox', name: 'eventful', start: false } });
  const first = await firstEvent({});
  const stored: { type: string; data: { id: string } }[] = [];
  for await (const event of house.viv.events({ since: 0 })) {
    stored.push(event as never);
    if (event.type === 'operation' && event.data.outcome === 'done') break;
  }
  const operation = await ask('GET', `/operations/${stored.at(-1)?.data.id}`);
  assert.equal(check(Operation, operation.json, 'operation').outcome, 'done');
  refused(await ask('GET', '/operations/absent'), 404, 'not_found');
  const next = await firstEvent({ 'last-event-id': first.id });
  assert.equal(Number(next.id), Number(first.id) + 1);
  refused(await ask('GET', '/events', { headers: { 'last-event-id': 'x' } }), 400, 'invalid_request');
  await ask('DELETE', '/instances/eventful');
});

function firstEvent(headers: Record<string, string>): Promise<{ id: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: house.daemon.socket, path: '/events?since=0', headers }, (answer) => {
      answer.once('data', (chunk) => {
        resolve({ id: /^id: (\d+)$/m.exec(String(chunk))?.[1] ?? '' });
        sent.destroy();
      });
    });
    sent.on('error', reject).end();
  });
}

test('health, capabilities, doctor and the API’s own description are there', async () => {
  assert.equal((await ask('GET', '/health')).json.pid, process.pid);
  const can = check(Capabilities, (await ask('GET', '/capabilities')).json, 'capabilities');
  assert.deepEqual(can.features, Object.keys(features));
  assert.ok(can.runtimes[0]?.features.includes('disk-resize'));
  assert.equal((await ask('GET', '/doctor')).json.ok, true);
  assert.equal((await ask('POST', '/doctor/rebuild')).status, 200);
  const { paths } = (await ask('GET', '/openapi.json')).json as { paths: Record<string, unknown> };
  assert.equal(Object.keys(paths).length, new Set(routes.map(({ path }) => path)).size);
});
