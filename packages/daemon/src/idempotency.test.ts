import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from '@vivarium/client';
import { type ErrorCode, isVivError, type Vivarium } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';

let house: TestHouse;
before(async () => {
  house = await openHouse();
  await house.viv.run('busybox', { name: 'source' });
});
after(() => house[Symbol.asyncDispose]());

const post = (
  where: string,
  body: unknown,
  key: string,
  more: Record<string, string> = {},
): Promise<Answer> =>
  call(house.daemon.socket, 'POST', where, { body, headers: { 'Idempotency-Key': key, ...more } });

const names = async () => (await house.engine.list()).items.map(({ name }) => name).sort();

test('a request that is made twice with one key answers the same thing', async () => {
  const routes: [string, unknown][] = [
    ['/instances', { image: 'busybox' }],
    ['/instances', { image: 'busybox', start: false, name: 'still' }],
    ['/instances/source/fork', { from_running: true, name: 'forked' }],
    ['/instances/source/forks', { count: 2 }],
    ['/instances/source/snapshots', { name: 'kept' }],
    ['/pools', { name: 'p', size: 1, instance: { image: 'busybox' } }],
    ['/pools/p/acquire', undefined],
  ];
  for (const [where, body] of routes) {
    const first = await post(where, body, `key of ${where} ${JSON.stringify(body)}`);
    assert.ok(first.status < 300, first.text);
    const there = await names();
    const second = await post(where, body, `key of ${where} ${JSON.stringify(body)}`);
    const ids = ({ text }: Answer) =>
      [...text.matchAll(/"(?:id|created_at)":"([^"]+)"/g)].map(([, id]) => id);
    assert.deepEqual([second.status, ids(second)], [first.status, ids(first)], where);
    assert.deepEqual((await names()).length, there.length, where);
  }
});

test('the two forms of an answer are of one request', async () => {
  const accept = { accept: 'application/x-ndjson' };
  const lines = await post('/instances', { image: 'busybox', start: false }, 'forms', accept);
  const json = await post('/instances', { image: 'busybox', start: false }, 'forms');
  const last = JSON.parse(lines.text.trim().split('\n').at(-1) ?? '') as { result: { id: string } };
  assert.equal(json.json.id, last.result.id);
});

test('another body under the same key is a conflict, and a key that is none is named', async () => {
  assert.equal((await post('/instances', { image: 'busybox', name: 'a-a' }, 'mine')).status, 201);
  const other = await post('/instances', { image: 'busybox', name: 'b-b' }, 'mine');
  assert.deepEqual([other.status, other.json.code], [409, 'conflict']);
  assert.equal(other.headers['x-should-retry'], 'false');
  const long = await post('/instances', { image: 'busybox' }, 'x'.repeat(256));
  assert.deepEqual([long.status, long.json.code], [400, 'invalid_request']);
  assert.ok(!(await names()).includes('b-b'));
});

test('a key is of the token it came with, and of the unix socket where it came with none', async () => {
  await using other = await openHouse({ tcp: { host: '127.0.0.1', port: 0 } });
  const { socket, url = '' } = other.daemon;
  const create = async (where: string, token?: string) => {
    const headers = {
      'Idempotency-Key': 'shared',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    };
    const { status, text, json } = await call(where, 'POST', '/instances', {
      body: { image: 'busybox', start: false },
      headers,
    });
    assert.equal(status, 201, text);
    return json.id;
  };
  const [one, two] = await Promise.all(['one', 'two'].map((name) => other.viv.tokens?.create({ name })));
  const made = [await create(socket), await create(url, one?.token), await create(url, two?.token)];
  assert.equal(new Set(made).size, 3);
  const again = [await create(socket), await create(url, one?.token), await create(url, two?.token)];
  assert.deepEqual(again, made);
});

test('routes that make nothing take no notice of a key', async () => {
  for (const action of ['pause', 'resume', 'pause', 'resume']) {
    const { status, text } = await post(`/instances/source/${action}`, {}, 'same');
    assert.equal(status, 200, text);
  }
});

test('the OpenAPI document has the key where it is taken', async () => {
  const { json } = await call(house.daemon.socket, 'GET', '/openapi.json');
  const paths = json.paths as Record<string, Record<string, { parameters: { name: string; in: string }[] }>>;
  const taken = (where: string) =>
    paths[where]?.post?.parameters.some((one) => one.in === 'header' && one.name === 'idempotency-key');
  assert.equal(taken('/instances'), true);
  assert.equal(taken('/instances/{id}/start'), false);
});

async function failure(asked: PromiseLike<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(Promise.resolve(asked), (error) => isVivError(error, code));
}

/** A daemon's door that breaks connections: so many requests that make something are carried out, and not answered. */
async function breaking(times: number): Promise<{ viv: Vivarium; keys: unknown[]; server: Server }> {
  const keys: unknown[] = [];
  let left = times;
  const server = createServer((incoming, outgoing) => {
    const key = incoming.headers['idempotency-key'];
    if (key !== undefined) keys.push(key);
    const { method, url, headers } = incoming;
    const inner = request({ socketPath: house.daemon.socket, method, path: url, headers }, (answer) => {
      if (key === undefined || left-- <= 0) {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        return answer.pipe(outgoing);
      }
      // To its end, so that it has been done.
      answer.resume().once('end', () => outgoing.destroy());
      return undefined;
    });
    incoming.pipe(inner);
  });
  const socket = path.join(house.home, `breaking-${times}-${Math.random()}.sock`);
  server.listen(socket);
  await once(server, 'listening');
  return { viv: connect({ socket, autostart: false }), keys, server };
}

test('the SDK asks again when a connection breaks, under the same key, and makes one VM', async () => {
  const { viv, keys, server } = await breaking(2);
  const vm = await viv.create({ image: 'busybox', name: 'one-only' });
  assert.deepEqual([keys.length, new Set(keys).size], [3, 1]);
  assert.equal((await names()).filter((name) => name === 'one-only').length, 1);
  const other = await viv.create({ image: 'busybox' }, { idempotencyKey: 'given' });
  assert.equal(keys.at(-1), 'given');
  const same = await viv.create({ image: 'busybox' }, { idempotencyKey: 'given' });
  assert.equal(same.id, other.id);
  assert.notEqual(vm.id, other.id);
  await viv[Symbol.asyncDispose]();
  server.close();
});

test('the SDK gives up in the end, asks once what may not be asked twice, and not at all after an abort', async () => {
  const { viv, keys, server } = await breaking(Number.POSITIVE_INFINITY);
  const abort = new AbortController();
  const asked = viv.create({ image: 'busybox', name: 'aborted' }, { signal: abort.signal });
  while (keys.length < 2) await new Promise((resolve) => setImmediate(resolve));
  abort.abort();
  await failure(asked, 'cancelled');
  const sofar = keys.length;
  await failure(viv.create({ image: 'busybox', name: 'unheard' }), 'daemon_unreachable');
  assert.equal(keys.length - sofar, 6);
  assert.equal((await names()).filter((name) => name === 'unheard').length, 1);
  await viv[Symbol.asyncDispose]();
  server.close();
});
