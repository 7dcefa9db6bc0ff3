import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { type WebSocket as Peer, WebSocketServer } from 'ws';
import { openSocket } from './socket.ts';
import { Transport } from './transport.ts';
import type { WebSocket } from './web-socket.ts';

/** A server of somebody else's, so that both ends can't be wrong alike. */
async function stage() {
  const dir = mkdtempSync(path.join(tmpdir(), 'websocket-'));
  const socket = path.join(dir, 's');
  const server = createServer();
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });
  server.on('upgrade', (request, raw, head) =>
    sockets.handleUpgrade(request, raw, head, (peer) => sockets.emit('connection', peer, raw)),
  );
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    server,
    open: () => openSocket(new Transport({ socket }), 'tunnel', { params: { id: 'x' } }),
    async pair(): Promise<{ ours: WebSocket; peer: Peer; raw: Socket }> {
      const met = once(sockets, 'connection') as Promise<[Peer, Socket]>;
      const ours = await this.open();
      const [peer, raw] = await met;
      return { ours, peer, raw };
    },
    async [Symbol.asyncDispose]() {
      for (const peer of sockets.clients) peer.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true });
    },
  };
}

test('messages of every length go both ways, text and binary', async () => {
  await using house = await stage();
  const { ours, peer } = await house.pair();
  peer.on('message', (data, binary) => peer.send(data, { binary }));
  ours.resume();
  for (const length of [0, 1, 125, 126, 65_535, 65_536, 300_000]) {
    for (const binary of [false, true]) {
      const data = Buffer.alloc(length, 'añb€');
      const answer = once(ours, 'message');
      const text = data.toString();
      ours.send(binary ? data : text);
      const [came, kind] = (await answer) as [Buffer, boolean];
      assert.equal(kind, binary);
      assert.ok(came.equals(binary ? data : Buffer.from(text)), `${length} bytes`);
    }
  }
});

test('while it is paused nothing comes, and all of it when it goes on, in order', async () => {
  await using house = await stage();
  const { ours, peer } = await house.pair();
  const came: string[] = [];
  const all = Promise.withResolvers<void>();
  let paused = true;
  ours.on('message', (data) => {
    assert.ok(!paused);
    came.push(String(data));
    if (came.length === 100) all.resolve();
    // As a stream does that is full for a moment.
    ours.pause();
    paused = true;
    setImmediate(() => {
      paused = false;
      ours.resume();
    });
  });
  for (let n = 0; n < 100; n++) peer.send(String(n));
  paused = false;
  ours.resume();
  await all.promise;
  assert.deepEqual(
    came,
    Array.from({ length: 100 }, (_, n) => String(n)),
  );
});

test('a listener that lets it go on is left before the next message comes', async () => {
  await using house = await stage();
  const { ours, raw } = await house.pair();
  const seen: string[] = [];
  ours.on('message', (data) => {
    seen.push(`begin ${data}`);
    ours.resume();
    seen.push(`end ${data}`);
  });
  const closed = once(ours, 'close');
  ours.resume();
  // Two texts and a goodbye at once.
  raw.write(Buffer.from([0x81, 1, 0x61, 0x81, 1, 0x62, 0x88, 0]));
  await closed;
  assert.deepEqual(seen, ['begin a', 'end a', 'begin b', 'end b']);
});

test('what came before the connection broke is told before its end, also to one that is paused', async () => {
  await using house = await stage();
  const { ours, raw } = await house.pair();
  const came: string[] = [];
  ours.on('message', (data) => {
    came.push(String(data));
    ours.pause();
  });
  ours.on('close', () => came.push('close'));
  const first = once(ours, 'message');
  const closed = once(ours, 'close');
  ours.resume();
  // Two texts at once.
  raw.write(Buffer.from([0x81, 1, 0x61, 0x81, 1, 0x62]));
  await first;
  ours.terminate();
  await closed;
  assert.deepEqual(came, ['a', 'b', 'close']);
});

test('a ping is answered with what it brings', async () => {
  await using house = await stage();
  const { ours, peer } = await house.pair();
  ours.resume();
  const pong = once(peer, 'pong');
  peer.ping('are you there');
  assert.equal(String((await pong)[0]), 'are you there');
});

test('either end says goodbye, and both are closed', async () => {
  await using house = await stage();
  for (const leaves of ['ours', 'peer'] as const) {
    const { ours, peer } = await house.pair();
    ours.resume();
    const closed = Promise.all([once(ours, 'close'), once(peer, 'close')]);
    if (leaves === 'ours') ours.close();
    else peer.close(1012, 'the daemon goes');
    const [, [code]] = await closed;
    assert.equal(code, 1000, leaves);
    assert.ok(ours.isClosed && !ours.isOpen);
    const [error] = await new Promise<[Error?]>((resolve) =>
      ours.send('late', (failure) => resolve([failure ?? undefined])),
    );
    assert.match(String(error), /closed/);
  }
});

test('a server that breaks the protocol is hung up on, and nothing behind it counts', async () => {
  await using house = await stage();
  const { ours, raw } = await house.pair();
  const came: string[] = [];
  ours.on('message', (data) => came.push(String(data)));
  const closed = once(ours, 'close');
  ours.resume();
  // A text, a ping in pieces, which may not be, another text.
  raw.write(Buffer.from([0x81, 1, 0x61, 0x09, 0, 0x81, 1, 0x63]));
  await closed;
  assert.deepEqual(came, ['a']);
});

test('an answer to the upgrade that does not fit the question is no connection', async () => {
  await using house = await stage();
  house.server.removeAllListeners('upgrade');
  house.server.on('upgrade', (_request, raw) =>
    raw.end(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    ),
  );
  await assert.rejects(house.open(), (error) => isVivError(error, 'internal'));
});
