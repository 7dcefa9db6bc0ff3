import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { HealthCheck } from '@vivarium/model';
import type { Guest } from '../../guest/guest.ts';
import { probe } from './probes.ts';

/** Ports of this machine stand for those of a guest. */
const guest = {
  connect: (host: string, port: number) =>
    new Promise((resolve, reject) => {
      const socket = connect(port, host, () => resolve(socket));
      socket.on('error', reject);
    }),
} as unknown as Guest;

const never = new AbortController().signal;
const http = (port: number, more: object = {}): HealthCheck => ({ type: 'http', http: { port, ...more } });

describe('a check over http', () => {
  let server: Server;
  let port: number;
  const asked: (string | undefined)[] = [];
  before(async () => {
    server = createServer((request, answer) => {
      asked.push(request.url);
      if (request.url === '/silent') return;
      answer.statusCode = Number(request.url?.slice(1) || 200);
      answer.end('x'.repeat(100_000));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  it('succeeds from 200 to 399, or with exactly the status that is expected', async () => {
    assert.deepEqual(await probe(guest, http(port), never), { ok: true, output: 'HTTP 200' });
    assert.equal(asked.at(-1), '/');
    assert.equal((await probe(guest, http(port, { path: '/302' }), never)).ok, true);
    const failed = await probe(guest, http(port, { path: '/503' }), never);
    assert.deepEqual(failed, { ok: false, output: 'HTTP 503', error: 'answered with 503' });
    assert.equal((await probe(guest, http(port, { path: '/503', expectedStatus: 503 }), never)).ok, true);
    assert.equal((await probe(guest, http(port, { path: '/204', expectedStatus: 200 }), never)).ok, false);
  });

  it('ends with its signal where nothing is answered', async () => {
    const late = new AbortController();
    const silent = probe(guest, http(port, { path: '/silent' }), late.signal);
    late.abort();
    await assert.rejects(silent);
  });

  it('fails on what is no HTTP, and on a port that nobody listens on', async () => {
    const babble = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('220 hello\r\n');
    });
    await new Promise<void>((resolve) => babble.listen(0, '127.0.0.1', resolve));
    const other = (babble.address() as AddressInfo).port;
    await assert.rejects(probe(guest, http(other), never));
    await assert.rejects(probe(guest, { ...http(other), http: { port: other, scheme: 'https' } }, never));
    assert.deepEqual(await probe(guest, { type: 'tcp', tcp: { port: other } }, never), { ok: true });
    babble.close();
    await assert.rejects(probe(guest, { type: 'tcp', tcp: { port: 1 } }, never));
  });
});
