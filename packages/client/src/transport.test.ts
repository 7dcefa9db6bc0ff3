import assert from 'node:assert/strict';
import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { Transport } from './transport.ts';

let dir: string;
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'transport-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

async function serving(socket: string): Promise<Server> {
  const server = createServer((request, answer) => {
    request.resume();
    request.on('end', () => answer.end('[]'));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return server;
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

test('an upload whose file is missing says so, and does not blame the daemon', async () => {
  const socket = path.join(dir, 'upload.sock');
  const server = await serving(socket);
  const transport = new Transport({ socket });
  const bytes = createReadStream(path.join(dir, 'missing.tar'));
  await assert.rejects(
    transport.json('putArchive', { params: { id: 'x' }, bytes }),
    (error) => isVivError(error, 'path_not_found') && /missing\.tar/.test(error.message),
  );
  transport.close();
  await close(server);
});

test('a stream is sent to a daemon that had to be started first', async () => {
  const socket = path.join(dir, 'stream.sock');
  let server: Server | undefined;
  const transport = new Transport({ socket }, async () => {
    server ??= await serving(socket);
  });
  async function* pieces() {
    yield Buffer.from('one');
    yield Buffer.from('two');
  }
  const { value } = await transport.json('putArchive', { params: { id: 'x' }, bytes: pieces() });
  assert.deepEqual(value, []);
  transport.close();
  if (server !== undefined) await close(server);
});

test('a daemon that breaks an answer off and is then gone is started, and asked again', async () => {
  const socket = path.join(dir, 'breaks.sock');
  const breaking = createServer((request) => {
    request.socket.destroy();
    breaking.close();
  });
  await new Promise<void>((resolve) => breaking.listen(socket, resolve));
  let server: Server | undefined;
  const transport = new Transport({ socket }, async () => {
    server ??= await serving(socket);
  });
  assert.deepEqual((await transport.json('listInstances')).value, []);
  transport.close();
  if (server !== undefined) await close(server);
});
