import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '@vivarium/client';
import type { Vm } from '@vivarium/model';
import { WebSocket } from 'ws';
import { serve } from './serve.ts';
import { openHouse, type TestHouse } from './testing/house.ts';
import { call } from './testing/http.ts';

let house: TestHouse;
let vm: Vm;
/** Processes of the VM while no session is left of any test. */
let idle: number;
before(async () => {
  house = await openHouse({ graceMs: 200 });
  vm = await house.viv.run('busybox', { name: 'sock' });
  idle = await processes();
});
after(() => house[Symbol.asyncDispose]());

/** A socket as hypeman's client would open it, and all it says. */
async function open(path: string, first?: object) {
  const socket = new WebSocket(`ws+unix://${house.daemon.socket}:${path}`);
  const texts: Record<string, unknown>[] = [];
  const binary: Buffer[] = [];
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) binary.push(data);
    else texts.push(JSON.parse(String(data)));
  });
  const closed = once(socket, 'close');
  await once(socket, 'open');
  if (first !== undefined) socket.send(JSON.stringify(first));
  return { socket, texts, closed, output: () => Buffer.concat(binary).toString() };
}

/** Of the error in a first answer. */
function codeOf(texts: Record<string, unknown>[]): unknown {
  return (texts[0]?.error as { code: string } | undefined)?.code;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 5000; !(await condition()); ) {
    assert.ok(Date.now() < deadline, `not within 5 s: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function processes(): Promise<number> {
  return (await vm.stats()).processes;
}

test('an exec in hypeman’s way merges its outputs and ends with its exit code', async () => {
  const { texts, closed, output } = await open('/instances/sock/exec', {
    command: ['sh', '-c', 'echo out; echo err >&2; exit 3'],
  });
  await closed;
  assert.equal(output().split('\n').sort().join('|'), '|err|out');
  assert.deepEqual(texts, [{ exitCode: 3 }]);
});

test('an exec in hypeman’s way takes binary frames as stdin', async () => {
  const { socket, texts, closed, output } = await open('/instances/sock/exec', {
    command: ['cat'],
    env: {},
    cwd: '',
  });
  socket.send(Buffer.from('through'));
  await until('it comes back', () => output() === 'through');
  socket.send(JSON.stringify({ stdin_eof: true }));
  await closed;
  assert.deepEqual(texts, [{ exitCode: 0 }]);
});

test('a client of hypeman that leaves takes its command along', async () => {
  const { socket } = await open('/instances/sock/exec', { command: ['sleep', '1000'] });
  await until('it runs', async () => (await processes()) === idle + 1);
  socket.terminate();
  await until('it is gone', async () => (await processes()) === idle);
});

test('an exec where nothing can be executed is a plain 409 before the upgrade', async () => {
  const stopped = await house.viv.create({ image: 'busybox', name: 'sock-stopped' });
  const socket = new WebSocket(`ws+unix://${house.daemon.socket}:/instances/sock-stopped/exec`);
  const [, answer] = (await once(socket, 'unexpected-response')) as [
    unknown,
    { statusCode: number; headers: Record<string, string> },
  ];
  assert.equal(answer.statusCode, 409);
  assert.equal(answer.headers['x-should-retry'], 'false');
  socket.on('error', () => undefined).terminate();
  await stopped.delete();
});

test('a first frame that is nonsense is answered with what is wrong', async () => {
  for (const first of ['{', '[]', '{"command":"ls"}', '{"tty":"yes"}']) {
    const { socket, texts, closed } = await open('/instances/sock/exec');
    socket.send(first);
    await closed;
    assert.equal(codeOf(texts), 'invalid_request');
  }
  const { socket, closed } = await open('/instances/sock/exec');
  socket.send(Buffer.alloc(2 * 1024 * 1024));
  assert.equal((await closed)[0], 1009);
  assert.equal((await call(house.daemon.socket, 'GET', '/health')).status, 200);
});

test('a reader that does not read holds its command back, not the daemon’s memory', async () => {
  const { socket } = await open('/instances/sock/exec', { command: ['yes'], channels: true });
  socket.pause();
  const { rss } = process.memoryUsage();
  for (let i = 0; i < 20; i++) await vm.exec(['seq', '10000']);
  assert.ok(process.memoryUsage().rss - rss < 200 * 1024 ** 2);
  socket.terminate();
  // Its session goes on for a while, and whoever counts next would count it.
  await until('its time is up', async () => (await processes()) === idle);
});

test('a session whose client was lost goes on for a while, then ends', async () => {
  const first = { command: ['cat'], channels: true, exec_id: 'lost-one' };
  const before = await open('/instances/sock/exec', first);
  await until('it has started', () => before.texts.length > 0);
  before.socket.send(Buffer.from('\0kept'));
  await until('it answers', () => before.output() === '\x01kept');
  before.socket.terminate();
  const resume = { stdout: 2, stderr: 0 };
  const again = await open('/instances/sock/exec', { ...first, resume });
  await until('the rest comes again', () => again.output() === '\x01pt');
  assert.deepEqual(again.texts[0], {
    started: { exec_id: 'lost-one', stdin: 4, stdout: 2, stderr: 0, resumed: true },
  });
  again.socket.terminate();
  await until('its time is up', async () => (await processes()) === idle);
});

test('a session is not resumed where its bytes were acknowledged', async () => {
  const first = { command: ['seq', '1000'], channels: true, exec_id: 'acked' };
  const one = await open('/instances/sock/exec', first);
  await until('it has ended', () => one.texts.some((text) => text.exitCode === 0));
  one.socket.send(JSON.stringify({ ack: { stdout: 1000, stderr: 0 } }));
  one.socket.close();
  await one.closed;
  const two = await open('/instances/sock/exec', { ...first, resume: { stdout: 10, stderr: 0 } });
  await two.closed;
  assert.equal(codeOf(two.texts), 'conflict');
});

test('the SDK’s commands outlive a restart of the daemon, with every byte once', async () => {
  const cat = vm.exec(['cat'], { stdin: 'open-stream' });
  const iterator = cat[Symbol.asyncIterator]();
  const sent: string[] = [];
  let received = '';
  const reading = (async () => {
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      received += Buffer.from(next.value.data).toString();
    }
  })();
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 500; i++) {
      const line = `line ${round}.${i}\n`;
      sent.push(line);
      // Not awaited all the way: some of it is on its way when the daemon goes.
      void cat.write(line);
      if (i === 250) await until('some has come', () => received.length > 0);
    }
    if (round === 3) break;
    await house.daemon.close();
    house.daemon = await serve(house.engine);
  }
  await cat.write('');
  await until('all has come', () => received.length >= sent.join('').length);
  await cat.end();
  await reading;
  assert.equal(received, sent.join(''));
  assert.equal((await cat).exitCode, 0);
});

test('the SDK’s commands outlive lost connections and a restart between them, with every byte once', async () => {
  const socket = path.join(house.home, 'relay.sock');
  const open = new Set<Socket>();
  const relay = createServer((near) => {
    const far = connectSocket(house.daemon.socket);
    open.add(near);
    far.on('error', () => near.destroy());
    near.on('error', () => far.destroy()).once('close', () => far.destroy());
    near.pipe(far).pipe(near);
  });
  relay.listen(socket);
  await once(relay, 'listening');
  const viv = connect({ socket, autostart: false });
  const cat = (await viv.get('sock')).exec(['cat'], { stdin: 'open-stream' });
  let received = '';
  const reading = (async () => {
    for await (const { data } of cat) received += Buffer.from(data).toString();
  })();
  let sent = '';
  for (let round = 0; round < 6; round++) {
    const before = received.length;
    for (let i = 0; i < 300; i++) {
      sent += `line ${round}.${i}\n`;
      void cat.write(`line ${round}.${i}\n`);
    }
    await until('some has come', () => received.length > before);
    for (const one of open) one.destroy();
    open.clear();
    if (round !== 3) continue;
    await house.daemon.close();
    house.daemon = await serve(house.engine);
  }
  await until('all has come', () => received.length >= sent.length);
  await cat.end();
  await reading;
  assert.equal(received, sent);
  assert.equal((await cat).exitCode, 0);
  await viv[Symbol.asyncDispose]();
  for (const one of open) one.destroy();
  relay.close();
});

test('a command ends with its VM, and its caller hears of it at once', async () => {
  const doomed = await house.viv.run('busybox', { name: 'doomed' });
  const waiting = doomed.exec(['sleep', '1000']);
  const streaming = doomed.exec(['yes']);
  const output = streaming[Symbol.asyncIterator]();
  await output.next();
  await waiting.id;
  const heard = Promise.all([
    assert.rejects(waiting.orThrow(), { code: 'invalid_state', message: /Stopp(ed|ing)/ }),
    assert.rejects(
      async () => {
        while (!(await output.next()).done);
      },
      { code: 'invalid_state', message: /Stopp(ed|ing)/ },
    ),
  ]);
  const began = performance.now();
  await doomed.stop({ force: true });
  await heard;
  assert.ok(performance.now() - began < 3000, `${performance.now() - began} ms`);
  await doomed.delete();
});

test('hypeman’s copies go both ways, and say what is wrong', async () => {
  const to = await open('/instances/sock/cp', {
    direction: 'to',
    guest_path: '/tmp/in.txt',
    is_dir: false,
    mode: 0o640,
  });
  to.socket.send(Buffer.from('part one, '));
  to.socket.send(Buffer.from('part two'));
  to.socket.send(JSON.stringify({ type: 'end' }));
  await to.closed;
  assert.deepEqual(to.texts, [{ type: 'result', success: true, bytes_written: 18 }]);
  const from = await open('/instances/sock/cp', { direction: 'from', guest_path: '/tmp/in.txt' });
  await until('all has been said', () => from.texts.length === 2);
  // Only whoever has it all knows when it has been written.
  assert.equal(await Promise.race([from.closed, delay(200, 'open')]), 'open');
  from.socket.close();
  await from.closed;
  const [header, end] = from.texts;
  assert.deepEqual([header?.type, header?.path, header?.mode, header?.size], ['header', 'in.txt', 0o640, 18]);
  assert.deepEqual(end, { type: 'end', final: true });
  assert.equal(from.output(), 'part one, part two');
  const missing = await open('/instances/sock/cp', { direction: 'from', guest_path: '/absent' });
  await until('that it is missing', () => missing.texts.length === 1);
  missing.socket.close();
  await missing.closed;
  assert.equal(missing.texts[0]?.type, 'error');
});

test('the console and a port of the guest are reached through the SDK, each half ending by itself', async () => {
  const console = await vm.console();
  console.destroy();
  const stream = await vm.connect(7);
  stream.end('echoed');
  let back = '';
  for await (const chunk of stream) back += chunk;
  assert.equal(back, 'echoed');
});

test('an abort ends a command that has not even begun', async () => {
  const controller = new AbortController();
  const exec = vm.exec(['sleep', '1000'], { signal: controller.signal });
  controller.abort();
  await assert.rejects(async () => await exec);
});

test('over TCP a token is needed, for sockets too', async () => {
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  free.close();
  const second = await serve(house.engine, {
    socket: `${house.home}/second.sock`,
    tcp: { host: '127.0.0.1', port: 0, token: 'secret' },
  });
  try {
    const anonymous = connect({ url: second.url });
    await assert.rejects(anonymous.list(), (error) => (error as { code: string }).code === 'unauthorized');
    const known = connect({ url: second.url, token: 'secret' });
    const remote = await known.get('sock');
    assert.equal((await remote.exec(['echo', 'far'])).stdout, 'far\n');
    await anonymous[Symbol.asyncDispose]();
    await known[Symbol.asyncDispose]();
    const socket = new WebSocket(`${second.url?.replace('http', 'ws')}/instances/sock/exec`);
    const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    assert.equal(answer.statusCode, 401);
    const text = await readText(answer as unknown as NodeJS.ReadableStream);
    assert.match(text, /"hint":"Make one with/);
    socket.on('error', () => undefined).terminate();
  } finally {
    await second.close();
  }
});
