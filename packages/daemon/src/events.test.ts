import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from '@vivarium/client';
import type { InstanceEvent } from '@vivarium/model';
import { WebSocket } from 'ws';
import { serve } from './serve.ts';
import { openHouse, type TestHouse } from './testing/house.ts';
import { call } from './testing/http.ts';

let house: TestHouse;
before(async () => {
  house = await openHouse();
});
after(() => house[Symbol.asyncDispose]());

const ask = (path: string, headers: Record<string, string> = {}) =>
  call(house.daemon.socket, 'GET', path, { headers });

/** One instance made and deleted: some events. */
async function happen(viv = house.viv): Promise<void> {
  await (await viv.create({ image: 'busybox' })).delete();
}

test('events are the same as server-sent events, as lines and as frames of a socket', async () => {
  await happen();
  const path = '/events?since=0&follow=false';
  const lines = (await ask(path, { accept: 'application/x-ndjson' })).text.trimEnd().split('\n');
  const sent = (await ask(path)).text.trimEnd().split('\n\n');
  const socket = new WebSocket(`ws+unix://${house.daemon.socket}:${path}`);
  const frames: string[] = [];
  socket.on('message', (data) => frames.push(String(data)));
  await once(socket, 'close');
  assert.ok(lines.length > 3);
  assert.deepEqual(frames, lines);
  const event = JSON.parse(lines[0] ?? '');
  assert.equal(sent[0], `id: ${event.seq}\nevent: ${event.type}\ndata: ${lines[0]}`);
  assert.deepEqual(
    sent.map((text) => text.split('data: ')[1]),
    lines,
  );
});

test('events are resumed by header and by query, the header winning', async () => {
  await happen();
  const first = async (path: string, headers?: Record<string, string>) =>
    JSON.parse((await ask(path, { accept: 'application/x-ndjson', ...headers })).text.split('\n')[0] ?? '')
      .seq;
  assert.equal(await first('/events?since=0&follow=false&last_event_id=2'), 3);
  assert.equal(await first('/events?since=0&follow=false&last_event_id=2', { 'last-event-id': '1' }), 2);
});

test('events are filtered by instance, type and kind, also of an instance that is gone', async () => {
  const vm = await house.viv.create({ image: 'busybox', name: 'gone' });
  await vm.delete();
  const of = async (options: Parameters<typeof house.viv.events>[0]) =>
    Array.fromAsync(house.viv.events({ since: 0, follow: false, ...options }));
  const all = await of({ instance: 'gone' });
  assert.ok(all.length > 2 && all.every(({ instanceId }) => instanceId === vm.id));
  assert.deepEqual(
    (await of({ instance: 'gone', types: ['created', 'deleted'] })).map(({ type }) => type),
    ['created', 'deleted'],
  );
  assert.deepEqual(await of({ kinds: ['volume'] }), []);
  assert.ok((await of({ kinds: ['daemon'] })).every(({ resource }) => resource.kind === 'daemon'));
  assert.equal((await ask('/events?instance=never')).status, 404);
});

test('a daemon that goes before the first event does not take what comes next with it', async () => {
  const events = house.viv.events()[Symbol.asyncIterator]();
  const next = events.next();
  // Its stream has begun once the daemon has sent the head of it.
  await new Promise<void>((resolve) => {
    const sent = request({ socketPath: house.daemon.socket, path: '/events' }, (answer) => {
      answer.destroy();
      resolve();
    });
    sent.end();
  });
  await house.daemon.close();
  await (await house.engine.create({ image: 'busybox', name: 'meanwhile' })).delete();
  house.daemon = await serve(house.engine);
  assert.equal((await next).value?.instanceName, 'meanwhile');
  await events.return?.();
});

/** An answer that nobody reads yet. */
function unread(socketPath: string, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, headers: { accept: 'application/x-ndjson' } }, resolve)
      .on('error', reject)
      .end();
  });
}

test('a reader that does not read holds neither the daemon nor its memory, and then gets all 100,000 events', async () => {
  await using own = await openHouse();
  const since = own.engine.lastEvent;
  const slow = await unread(own.daemon.socket, `/events?since=${since}`);
  slow.pause();
  const before = process.memoryUsage();
  const many = 100_000 - since - 10;
  for (let n = 0; n < many; n++) {
    own.engine.note({ kind: 'volume', id: 'v', name: 'v' }, 'noted', { n });
    // The daemon has its turns, and would write if it wrote.
    if (n % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const asked = performance.now();
  assert.equal((await call(own.daemon.socket, 'GET', '/health')).status, 200);
  assert.ok(performance.now() - asked < 1000);
  const grown = process.memoryUsage().external - before.external;
  assert.ok(grown < 8 * 2 ** 20, `${grown} bytes`);
  let rest = '';
  let expected = since;
  for await (const chunk of slow.setEncoding('utf8')) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      if (part === '') continue;
      expected += 1;
      const { seq, type } = JSON.parse(part);
      assert.deepEqual([seq, type], [expected, 'noted']);
    }
    if (expected >= since + many) break;
  }
});

const program = path.resolve(import.meta.dirname, 'main.ts');

async function startDaemon(home: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program, '--home', home, '--driver', 'simulated'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, VIVD_READY_FD: '' },
  });
  await once(child.stdout, 'data');
  return child;
}

test('kill -9 in the middle of a stream, and its reader goes on: nothing is lost, nothing comes twice', async () => {
  const home = mkdtempSync(path.join(tmpdir(), 'vivd-'));
  let daemon = await startDaemon(home);
  const viv = connect({ home, autostart: false });
  try {
    const abort = new AbortController();
    const seen: InstanceEvent[] = [];
    const reading = (async () => {
      for await (const event of viv.events({ since: 0, signal: abort.signal })) {
        seen.push(event);
        if (event.instanceName === 'last' && event.type === 'deleted') return;
      }
    })();
    for (let round = 0; round < 2; round++) {
      const busy = Promise.allSettled(Array.from({ length: 40 }, () => happen(viv)));
      for (const from = seen.length; seen.length < from + 20; )
        await new Promise((resolve) => setImmediate(resolve));
      daemon.kill('SIGKILL');
      await once(daemon, 'exit');
      await busy;
      daemon = await startDaemon(home);
    }
    await (await viv.create({ image: 'busybox', name: 'last' })).delete();
    await reading;
    assert.deepEqual(
      seen.map(({ seq }) => seq),
      seen.map((_, n) => n + 1),
    );
    assert.equal(seen.filter(({ type }) => type === 'gap').length, 0);
    const stored = await Array.fromAsync(viv.events({ since: 0, follow: false }));
    assert.deepEqual(seen, stored.slice(0, seen.length));
  } finally {
    await viv[Symbol.asyncDispose]();
    daemon.kill('SIGTERM');
    if (daemon.exitCode === null) await once(daemon, 'exit');
    rmSync(home, { recursive: true, force: true });
  }
});
