import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { openHouse, type TestHouse } from './testing/house.ts';
import { call, sendRaw } from './testing/http.ts';

/** What a client that means no good, or is broken, can do to the daemon: nothing. */
let house: TestHouse;
before(async () => {
  house = await openHouse({ graceMs: 50, tcp: { host: '127.0.0.1', port: 0, token: 'secret' } });
  await house.viv.run('busybox', { name: 'host' });
});
after(() => house[Symbol.asyncDispose]());

async function alive(): Promise<void> {
  assert.equal((await call(house.daemon.socket, 'GET', '/health')).status, 200);
}

async function processes(): Promise<number> {
  return (await (await house.engine.get('host')).stats()).processes;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 5000; !(await condition()); ) {
    assert.ok(Date.now() < deadline, `not within 5 s: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function open(
  first: object,
): Promise<{ socket: WebSocket; texts: string[]; closed: Promise<unknown> }> {
  const socket = new WebSocket(`ws+unix://${house.daemon.socket}:/instances/host/exec`);
  const texts: string[] = [];
  socket.on('message', (data: Buffer, binary: boolean) => {
    if (!binary) texts.push(String(data));
  });
  const closed = once(socket, 'close');
  await once(socket, 'open');
  socket.send(JSON.stringify(first));
  return { socket, texts, closed };
}

const garbage: Record<string, string> = {
  'no HTTP': '\0\u0001\u0002\r\n\r\n',
  'a target that is no URL': 'GET //[ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  'an absolute target that is no URL': 'GET http://[ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  'two hosts': 'GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n',
  'no host': 'GET /health HTTP/1.1\r\nconnection: close\r\n\r\n',
  'no version': 'POST /instances\r\n\r\n',
  'a host that is none': 'GET /health HTTP/1.1\r\nhost: [\r\nconnection: close\r\n\r\n',
  'two lengths': 'POST /instances HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}',
  'a length and chunks':
    'POST /instances HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x',
  'a path out of the house': 'GET /instances/..%2f..%2fetc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  'a path that is not well encoded': 'GET /instances/%ff%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  'a header of a megabyte': `GET /health HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(1 << 20)}\r\n\r\n`,
  'a path with a name that is no name':
    'GET /instances/x/snapshots/.. HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  'an upgrade to a target that is no URL':
    'GET //[ HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
  'an upgrade without a key':
    'GET /instances/host/exec HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
};

for (const [what, bytes] of Object.entries(garbage)) {
  test(`${what} is refused as the client's fault, and harms nobody`, async () => {
    const text = await sendRaw(house.daemon.socket, bytes).catch((error: NodeJS.ErrnoException) => {
      // Refused before all of it was sent.
      assert.ok(['EPIPE', 'ECONNRESET'].includes(error.code ?? ''), String(error));
      return 'HTTP/1.1 4';
    });
    assert.match(text, /^HTTP\/1\.1 4/);
    await alive();
  });
}

test('an upgrade that is refused ends the connection, whether or not its client does', async () => {
  const { hostname, port } = new URL(house.daemon.url ?? '');
  const socket = connectTcp({ host: hostname, port: Number(port), allowHalfOpen: true });
  socket.write(
    'GET /instances/host/exec HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
  );
  let text = '';
  socket.on('data', (data) => {
    text += data;
  });
  await once(socket, 'end');
  assert.match(text, /^HTTP\/1\.1 401/);
  // It stays half open on this side, and is only kept alive by a daemon that keeps it too.
  await until('the daemon has let go', async () => {
    socket.write('x', () => undefined);
    return socket.destroyed || socket.errored !== null;
  }).catch(() => assert.fail('the daemon keeps the connection'));
  socket.on('error', () => undefined);
  socket.destroy();
});

for (const [what, frame] of [
  ['is no JSON', 'nonsense'],
  ['is no control', '{"resize":7}'],
] as const) {
  test(`a frame that ${what} ends a command in hypeman's way, and says why`, async () => {
    const idle = await processes();
    const { socket, texts, closed } = await open({ command: ['sleep', '1000'] });
    await until('it runs', async () => (await processes()) === idle + 1);
    socket.send(frame);
    await closed;
    assert.match(texts.join(), /invalid_request/);
    await until('it is gone', async () => (await processes()) === idle);
  });

  test(`a frame that ${what} leaves a session to its grace, not to eternity`, async () => {
    const idle = await processes();
    const { socket, closed } = await open({
      command: ['sleep', '1000'],
      channels: true,
      exec_id: `x-${what.length}`,
    });
    await until('it runs', async () => (await processes()) === idle + 1);
    socket.send(frame);
    await closed;
    await until('it is gone', async () => (await processes()) === idle);
  });
}
