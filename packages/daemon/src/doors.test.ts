import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { routes } from '@vivarium/api';
import { connect } from '@vivarium/client';
import { isVivError } from '@vivarium/model';
import { WebSocket } from 'ws';
import { DaemonLog } from './log.ts';
import { openHouse, type TestHouse } from './testing/house.ts';
import { type Answer, call } from './testing/http.ts';

const origin = 'https://ui.example';
const own = 'Bearer the-daemons-own';
let house: TestHouse;
let url: string;
before(async () => {
  house = await openHouse({
    tcp: { host: '127.0.0.1', port: 0, token: 'the-daemons-own' },
    hosts: ['vms.example'],
    origins: [origin],
  });
  url = house.daemon.url ?? '';
  await house.viv.run('busybox', { name: 'host' });
});
after(() => house[Symbol.asyncDispose]());

const make = async (...scopes: string[]) => {
  const made = await house.viv.tokens?.create({ scopes });
  assert.ok(made);
  return made;
};
const ask = (token: string, method: string, path: string, body?: unknown): Promise<Answer> =>
  call(url, method, path, { body, headers: { authorization: `Bearer ${token}` } });

function refused(answer: Answer, status: number, code: string): void {
  assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text);
}

test('on TCP a route answers to its scope and to no other, and says which it wanted', async () => {
  const { token } = await make('instance:read');
  assert.equal((await ask(token, 'GET', '/instances/host')).status, 200);
  const answer = await ask(token, 'POST', '/instances/host/stop');
  refused(answer, 403, 'forbidden');
  assert.deepEqual(answer.json.details, { scope: 'instance:write' });
  assert.equal(answer.headers['x-should-retry'], 'false');
  refused(await ask(token, 'DELETE', '/instances/host'), 403, 'forbidden');
});

test('no route but the public ones does anything for nobody, or for a token without scopes', async () => {
  const { token } = await make();
  for (const { method, path: pattern, scope, name } of routes) {
    if (method === 'WS') continue;
    const where = pattern.replaceAll(/\{\w+\}/g, 'host');
    const open = scope === 'public';
    const nobody = await call(url, method, where);
    assert.equal(nobody.status, open ? 200 : 401, name);
    if (!open) assert.equal(nobody.headers['www-authenticate'], 'Bearer');
    assert.equal((await ask(token, method, where)).status, open ? 200 : 403, name);
  }
});

test('health tells on TCP that it is well, and not where', async () => {
  assert.deepEqual(Object.keys((await call(url, 'GET', '/health')).json).sort(), ['status', 'version']);
  const told = (await call(house.daemon.socket, 'GET', '/health')).json;
  // The port that was bound, where any was asked for.
  assert.deepEqual([told.home, told.url], [house.home, url]);
});

test('a token of a token is no more than its own, over HTTP too', async () => {
  const { token } = await make('token:write', 'instance:read');
  refused(await ask(token, 'POST', '/tokens', { scopes: ['*'] }), 403, 'forbidden');
  refused(await ask(token, 'POST', '/tokens', { scopes: ['nonsense'] }), 400, 'invalid_request');
  refused(await ask(token, 'POST', '/tokens', { scope: ['*'] }), 400, 'invalid_request');
  const child = await ask(token, 'POST', '/tokens', { scopes: ['instance:read'] });
  assert.equal(child.status, 201, child.text);
  refused(await ask(token, 'GET', '/tokens'), 403, 'forbidden');
  assert.equal((await ask(String(child.json.token), 'GET', '/instances/host')).status, 200);
});

test('files of the daemon’s host are not for those who may only import images', async () => {
  const { token } = await make('image:write');
  refused(await ask(token, 'POST', '/images/import?path=/etc/shadow'), 403, 'forbidden');
});

test('the SDK works with a token, and is told what it lacks', async () => {
  const { token } = await make('instance:read', 'instance:exec');
  await using viv = connect({ env: { VIV_URL: url, VIV_TOKEN: token } });
  const vm = await viv.get('host');
  assert.equal((await vm.exec(['echo', 'hello'])).stdout.toString(), 'hello\n');
  await assert.rejects(
    async () => await vm.stop(),
    (error) => isVivError(error, 'forbidden'),
  );
  await using stranger = connect({ url, token: 'x.y.z' });
  await assert.rejects(stranger.list(), (error) => isVivError(error, 'unauthorized'));
});

async function socketOf(token: string | undefined, headers: Record<string, string> = {}): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/instances/host/exec`, {
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });
  await once(socket, 'open');
  return socket;
}

test('sockets are asked the same, and end when their token does', async () => {
  const { token, id } = await make('instance:exec');
  const reader = await make('instance:read');
  await assert.rejects(socketOf(undefined), /401/);
  await assert.rejects(socketOf(reader.token), /403/);
  await assert.rejects(socketOf(token, { origin: 'https://evil.example' }), /403/);
  await assert.rejects(socketOf(token, { host: 'evil.example' }), /403/);
  const socket = await socketOf(token);
  const closed = once(socket, 'close');
  await house.viv.tokens?.revoke(id);
  await closed;
  await assert.rejects(socketOf(token), /401/);
});

test('a stream that is open ends when its token is revoked', async () => {
  const { token, id } = await make('instance:read');
  const headers = { authorization: `Bearer ${token}` };
  const asked = get(`${url}/events`, { headers });
  const [answer] = await once(asked, 'response');
  assert.equal(answer.statusCode, 200);
  const broken = once(answer.resume(), 'error');
  await house.viv.tokens?.revoke(id);
  assert.equal((await broken)[0].message, 'aborted');
});

for (const door of ['the unix socket', 'TCP']) {
  const at = () => (door === 'TCP' ? url : house.daemon.socket);
  const asking = (more: Record<string, string>, method = 'GET') =>
    call(at(), method, '/instances', { headers: { authorization: own, ...more } });

  test(`a web page of another origin can’t drive the daemon over ${door}`, async () => {
    const foreign: Record<string, string>[] = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `${origin}.evil.example` },
      { origin: url },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const more of foreign)
      for (const method of ['GET', 'POST', 'OPTIONS']) refused(await asking(more, method), 403, 'forbidden');
    assert.equal((await asking({ 'sec-fetch-site': 'none' })).status, 200);
  });

  test(`a name that was made to mean this machine does not open ${door}`, async () => {
    for (const host of ['evil.example', 'localhost.evil.example', '10.1.2.3', '127.0.0.1.evil.example:80'])
      refused(await asking({ host }), 403, 'forbidden');
    for (const host of ['localhost:80', '127.0.0.1', '[::1]:9', 'vms.example'])
      assert.equal((await asking({ host })).status, 200, host);
  });

  test(`a page of an allowed origin may call over ${door}, and read the answer`, async () => {
    const answer = await asking({ origin });
    assert.deepEqual([answer.status, answer.headers['access-control-allow-origin']], [200, origin]);
    const preflight = await asking({ origin, 'access-control-request-method': 'POST' }, 'OPTIONS');
    assert.equal(preflight.status, 204);
    assert.match(String(preflight.headers['access-control-allow-headers']), /authorization/);
  });
}

test('wrong tokens from an address make it wait, with right ones too, and nobody else', async () => {
  await using strict = await openHouse({ tcp: { host: '127.0.0.1', port: 0 } });
  const at = strict.daemon.url ?? '';
  const good = await strict.viv.tokens?.create();
  const guess = (token: string) =>
    call(at, 'GET', '/instances', { headers: { authorization: `Bearer ${token}` } });
  for (let n = 0; n < 20; n++) refused(await call(at, 'GET', '/instances'), 401, 'unauthorized');
  assert.equal((await guess(good?.token ?? '')).status, 200, 'to bring none is no guess');
  for (let n = 0; n < 10; n++) refused(await guess(`guess-${n}`), 401, 'unauthorized');
  const limited = await guess(good?.token ?? '');
  refused(limited, 429, 'rate_limited');
  assert.ok(Number(limited.headers['retry-after']) >= 1);
  assert.equal(limited.headers['x-should-retry'], undefined);
  assert.equal((await call(strict.daemon.socket, 'GET', '/instances')).status, 200);
});

test('a rate that is set holds for each token alone', async () => {
  const rate = { perSecond: 0.001, burst: 3 };
  await using slow = await openHouse({ tcp: { host: '127.0.0.1', port: 0 }, rate });
  const at = slow.daemon.url ?? '';
  const tokens = await Promise.all([slow.viv.tokens?.create(), slow.viv.tokens?.create()]);
  for (const made of tokens) {
    const headers = { authorization: `Bearer ${made?.token}` };
    for (let n = 0; n < 3; n++) assert.equal((await call(at, 'GET', '/instances', { headers })).status, 200);
    const limited = await call(at, 'GET', '/instances', { headers });
    refused(limited, 429, 'rate_limited');
    assert.ok(Number(limited.headers['retry-after']) > 100);
  }
  for (let n = 0; n < 9; n++) assert.equal((await call(slow.daemon.socket, 'GET', '/instances')).status, 200);
});

test('nothing that lets in gets into the log', async () => {
  const log = new DaemonLog(path.join(house.home, 'doors.log'));
  await using noisy = await openHouse({
    tcp: { host: '127.0.0.1', port: 0, token: 'static-secret' },
    log,
    behind: (engine) =>
      new Proxy(engine, {
        get(target, key) {
          if (key === 'listShared') throw new Error('a defect');
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      }),
  });
  const at = noisy.daemon.url ?? '';
  const made = await noisy.viv.tokens?.create();
  for (const token of ['static-secret', made?.token ?? '', 'wrong-secret'])
    await call(at, 'GET', '/instances', { headers: { authorization: `Bearer ${token}` } });
  const text = readFileSync(log.path, 'utf8');
  log[Symbol.dispose]();
  assert.match(text, /a defect/);
  for (const secret of ['static-secret', 'wrong-secret', made?.token.split('.')[2] ?? ''])
    assert.ok(!text.includes(secret));
});
