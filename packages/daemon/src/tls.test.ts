import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from '@vivarium/client';
import { isVivError } from '@vivarium/model';
import { openHouse, type TestHouse } from './testing/house.ts';
import { testTls } from './testing/tls/tls.ts';

let house: TestHouse;
let env: NodeJS.ProcessEnv;
before(async () => {
  house = await openHouse({ tcp: { host: '127.0.0.1', port: 0, tls: testTls } });
  await house.viv.run('busybox', { name: 'host' });
  const [ca, token] = ['ca.pem', 'token'].map((name) => path.join(house.home, name)) as [string, string];
  writeFileSync(ca, testTls.cert);
  writeFileSync(token, `${(await house.viv.tokens?.create())?.token}\n`, { mode: 0o600 });
  env = { VIV_URL: house.daemon.url, VIV_CA: ca, VIV_TOKEN_FILE: token };
});
after(() => house[Symbol.asyncDispose]());

test('the SDK reaches a daemon behind TLS by the environment alone, sockets too', async () => {
  assert.match(house.daemon.url ?? '', /^https:/);
  await using viv = connect({ env });
  const vm = await viv.get('host');
  assert.equal((await vm.exec(['echo', 'hello'])).stdout.toString(), 'hello\n');
  await using byName = connect({
    env: { ...env, VIV_URL: house.daemon.url?.replace('127.0.0.1', 'localhost') },
  });
  assert.equal((await byName.list()).items.length, 1);
});

test('a certificate that nobody vouches for is not believed', async () => {
  await using viv = connect({ env: { ...env, VIV_CA: undefined } });
  await assert.rejects(
    viv.list(),
    (error) =>
      isVivError(error, 'daemon_unreachable') && /certificate/.test(`${error.message} ${error.hint}`),
  );
});

test('who speaks plain HTTP to it is let go of, and others are served', async () => {
  const { hostname, port } = new URL(house.daemon.url ?? '');
  const socket = connectTcp(Number(port), hostname);
  socket.on('error', () => undefined).resume();
  socket.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await once(socket, 'close');
  await using viv = connect({ env });
  assert.equal((await viv.list()).items.length, 1);
});
