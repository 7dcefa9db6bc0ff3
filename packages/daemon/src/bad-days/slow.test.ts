import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { get, globalAgent, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { openHouse, type TestHouse } from '../testing/house.ts';
import { call } from '../testing/http.ts';
import { withVms } from '../testing/standing-in.ts';

/** Clients that take their time, or have none left. */
let house: TestHouse;
let produced = 0;
let ended: PromiseWithResolvers<void>;
before(async () => {
  house = await openHouse({
    tcp: { host: '127.0.0.1', port: 0, token: 'secret' },
    patience: { headersMs: 200, bodyMs: 200 },
    // A file without end.
    behind: (engine) =>
      withVms(engine, ({ files }) => ({
        files: Object.assign(Object.create(files), {
          putArchive: files.putArchive.bind(files),
          writeFile: files.writeFile.bind(files),
          getArchive: () => endless(),
        }),
      })),
  });
  await house.viv.run('busybox', { name: 'host' });
});
after(() => house[Symbol.asyncDispose]());

async function* endless(): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      produced += 65_536;
      yield Buffer.alloc(65_536);
    }
  } finally {
    ended.resolve();
  }
}

/** A client that never ends its own half. */
function stubborn(bytes: string): { socket: Socket; answer: Promise<string> } {
  const socket = connect({ path: house.daemon.socket, allowHalfOpen: true });
  socket.on('error', () => undefined).write(bytes);
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk;
  });
  const answer = Promise.race([once(socket, 'end'), once(socket, 'close')]).then(() => text);
  return { socket, answer };
}

/** Ends of connections of this process that are open, the daemon's among them. */
function ends(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'PipeWrap').length;
}

/** Resolves once the daemon's end is closed: this one is still open, and silent, and would keep it. */
async function letGo(without: number): Promise<void> {
  for (const deadline = Date.now() + 5000; ends() > without + 1; ) {
    assert.ok(Date.now() < deadline, 'the daemon keeps the connection');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const post = (path: string, more = '') =>
  `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${more}`;
const put = (path: string) => `PUT ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000\r\n\r\nabc`;

const cases: Record<string, [string, RegExp]> = {
  'what is no HTTP': ['nonsense\r\n\r\n', /^HTTP\/1.1 400/],
  'half a head': [post('/instances'), /^HTTP\/1.1 408/],
  'no head at all, but its first letters': ['POS', /^HTTP\/1.1 408/],
  'half a JSON body': [post('/instances', 'content-length: 100\r\n\r\n{"image":'), /^HTTP\/1.1 408/],
  'half a chunked body': [
    post('/instances', 'transfer-encoding: chunked\r\n\r\n5\r\n{"ima'),
    /^HTTP\/1.1 408/,
  ],
  'half a file': [put('/instances/host/files?path=/tmp/f'), /^HTTP\/1.1 408/],
  'half an archive': [put('/instances/host/files/archive?path=/tmp'), /^HTTP\/1.1 4/],
  'half an image': [post('/images/import', 'content-length: 100\r\n\r\nabc'), /^HTTP\/1.1 408/],
  'half a body for nobody': [post('/nowhere', 'content-length: 100\r\n\r\n{'), /^HTTP\/1.1 404/],
  'half a body for a route without': [
    post('/instances/host/pause', 'content-length: 9\r\n\r\n{'),
    /^HTTP\/1.1 [24]/,
  ],
};

for (const [what, [bytes, expected]] of Object.entries(cases)) {
  test(`who sends ${what} and then nothing is answered and let go of`, async () => {
    // Connections that are kept for a next request would be counted.
    globalAgent.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    const without = ends();
    const { socket, answer } = stubborn(bytes);
    const text = await answer;
    assert.match(text, expected);
    if (text.startsWith('HTTP/1.1 408')) {
      assert.match(text, /connection: close/i);
      assert.match(text, /"code":"request_timeout"/);
    }
    await letGo(without);
    socket.destroy();
    assert.equal((await call(house.daemon.socket, 'GET', '/health')).status, 200);
    assert.deepEqual(
      readdirSync(house.home).filter((name) => name.startsWith('import-')),
      [],
    );
  });
}

test('a reader that stops is not read for, and what it read from is closed when it goes', async () => {
  ended = Promise.withResolvers();
  const asked = get({ socketPath: house.daemon.socket, path: '/instances/host/files/archive?path=/big' });
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  answer.once('data', () => answer.pause());
  let before = -1;
  // Everything on the way has filled up once nothing more is made within a few turns of other work.
  while (produced !== before) {
    before = produced;
    for (let n = 0; n < 20; n++) await call(house.daemon.socket, 'GET', '/health');
  }
  assert.ok(produced < 8 * 1024 * 1024, `${produced} bytes were made for nobody`);
  answer.destroy();
  await ended.promise;
});

test('five hundred that only connect keep nobody out', async () => {
  const { hostname, port } = new URL(house.daemon.url ?? '');
  const idle = Array.from({ length: 500 }, () => connect({ host: hostname, port: Number(port) }));
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  const headers = { authorization: 'Bearer secret' };
  assert.equal((await call(house.daemon.url ?? '', 'GET', '/instances', { headers })).status, 200);
  // They are let go of without being asked to.
  await Promise.all(idle.map((socket) => once(socket.on('error', () => undefined).resume(), 'close')));
});
