import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { type WebSocket, WebSocketServer } from 'ws';
import { openDuplex } from './duplex.ts';
import { openSocket } from './socket.ts';
import { Transport } from './transport.ts';

/** A daemon as far as one tunnel goes, which the test plays. */
async function stage() {
  const dir = mkdtempSync(path.join(tmpdir(), 'duplex-'));
  const socket = path.join(dir, 's');
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const transport = new Transport({ socket });
  return {
    async open(signal?: AbortSignal) {
      const met = once(sockets, 'connection') as Promise<[WebSocket]>;
      const opening = openDuplex(await openSocket(transport, 'tunnel', { params: { id: 'x' } }), signal);
      const [peer] = await met;
      return { opening, peer };
    },
    async [Symbol.asyncDispose]() {
      for (const peer of sockets.clients) peer.terminate();
      sockets.close();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true });
    },
  };
}

test('who stops waiting for a guest that does not answer is let go, and so is the connection', async () => {
  await using daemon = await stage();
  const controller = new AbortController();
  const { opening, peer } = await daemon.open(controller.signal);
  const closed = once(peer, 'close');
  controller.abort();
  await assert.rejects(opening, (error) => isVivError(error, 'cancelled'));
  await closed;
});

test('an abort ends an open connection with its reason', async () => {
  await using daemon = await stage();
  const controller = new AbortController();
  const { opening, peer } = await daemon.open(controller.signal);
  peer.send('{"open":true}');
  const stream = await opening;
  const closed = once(peer, 'close');
  const failed = once(stream, 'error');
  controller.abort(new Error('enough'));
  assert.ok(isVivError((await failed)[0], 'cancelled'));
  await closed;
});

test('a connection whose halves have both ended is closed, by itself', async () => {
  await using daemon = await stage();
  const { opening, peer } = await daemon.open();
  peer.send('{"open":true}');
  const stream = await opening;
  const closed = once(peer, 'close');
  stream.end('bye');
  stream.resume();
  peer.send('{"eof":true}');
  await closed;
});
