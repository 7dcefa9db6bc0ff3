import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { connectUnixForMuch } from './unix-socket.ts';

test('much comes whole and in order through one buffer, also to two readers in turn, and then the end', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'viv-sockets-'));
  const bytes = 3 * 2 ** 20;
  const sent = Buffer.alloc(bytes, Array.from({ length: 251 }, (_, index) => index).join(' '));
  const server = createServer((socket) => socket.end(sent));
  await new Promise<void>((resolve) => server.listen(path.join(dir, 'much.sock'), resolve));
  try {
    const read = async () => {
      const socket = await connectUnixForMuch(dir, 'much.sock');
      const all = Buffer.alloc(bytes);
      let at = 0;
      socket.on('data', (chunk: Buffer) => {
        at += chunk.copy(all, at);
        // One that has to wait for its reader waits.
        socket.pause();
        setImmediate(() => socket.resume());
      });
      await new Promise((resolve) => socket.once('end', resolve));
      socket.destroy();
      return all.subarray(0, at);
    };
    for (const got of await Promise.all([read(), read()])) assert.ok(got.equals(sent));
  } finally {
    server.close();
    await rm(dir, { recursive: true, force: true });
  }
});
