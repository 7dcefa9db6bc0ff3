import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { RealEngine, until } from './real-engine.ts';

const idleMs = 1500;
const options = { mode: 'daemon' as const, templates: { backgroundDelayMs: 600_000 } };

/** A request on a connection of its own; the status line. */
async function request(port: number): Promise<string> {
  const socket = await opened(port);
  socket.write('GET /hostname HTTP/1.0\r\n\r\n');
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text.split('\r\n')[0] ?? '';
}

/** Resolves when the answer begins. */
async function firstByte(port: number): Promise<void> {
  const socket = await opened(port);
  socket.write('GET /hostname HTTP/1.0\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
}

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

describe('a real VM with a standby policy', () => {
  let real: RealEngine;
  let vm: Vm;
  let port: number;
  before(async () => {
    real = await RealEngine.open(options);
    vm = await real.engine.run('busybox', {
      name: 'web',
      cmd: ['httpd', '-f', '-p', '80', '-h', '/etc'],
      ports: [{ guestPort: 80 }],
      autoStandby: { enabled: true, idleTimeoutMs: idleMs },
    });
    port = vm.info.ports[0]?.hostPort ?? 0;
    await until('it serves', async () => (await request(port).catch(() => '')).includes('200'));
  });
  after(async () => {
    await vm.delete({ force: true });
    await real[Symbol.asyncDispose]();
  });

  test('sleeps when nobody uses it, and is woken by a request, which is answered', async (t) => {
    await vm.waitFor('Suspended');
    const began = performance.now();
    assert.match(await request(port), /200 OK/);
    t.diagnostic(`woken and answered in ${Math.round(performance.now() - began)} ms`);
    assert.equal((await vm.refresh()).state, 'Running');
  });

  test('answers all of many that come at once while it sleeps', async () => {
    await vm.waitFor('Suspended');
    // Busybox's httpd lets nine wait.
    const answers = await Promise.all(Array.from({ length: 8 }, () => request(port)));
    assert.ok(
      answers.every((answer) => answer.includes('200')),
      answers.join(),
    );
  });

  test('is not suspended under a connection that is open and says nothing', async () => {
    const idle = await opened(port);
    await until('the connection is seen', async () => (await vm.standby.status()).connections === 1);
    assert.equal((await vm.standby.status()).reason, 'active_inbound_connections');
    // What is measured is what does not happen in this time.
    await assert.rejects(vm.waitFor('Suspended', { timeoutMs: 2.5 * idleMs }), { code: 'timeout' });
    idle.write('GET /hostname HTTP/1.0\r\n\r\n');
    let text = '';
    for await (const chunk of idle) text += String(chunk);
    assert.match(text, /200 OK/);
    await vm.waitFor('Suspended');
  });

  test('is woken by a connection in about the time of a start', async (t) => {
    await using other = await real.engine.run('busybox', {
      cmd: ['httpd', '-f', '-p', '80', '-h', '/etc'],
      ports: [{ guestPort: 80 }],
      wake: 'always',
    });
    const at = other.info.ports[0]?.hostPort ?? 0;
    await until('it serves', async () => (await request(at).catch(() => '')).includes('200'));
    const ways = { wake: () => firstByte(at), resume: async () => void (await other.start()) };
    const took = { wake: [] as number[], resume: [] as number[] };
    for (let round = 0; round < 5; round++) {
      for (const way of ['wake', 'resume'] as const) {
        await other.suspend();
        const began = performance.now();
        await ways[way]();
        took[way].push(Math.round(performance.now() - began));
        // Whoever came is served in the last moments of the start.
        await other.waitFor('Running');
      }
    }
    const median = (of: number[]) => of.toSorted((a, b) => a - b)[2] ?? 0;
    const [wake, resume] = [median(took.wake), median(took.resume)];
    t.diagnostic(`connect to first byte ${wake} ms (${took.wake}), start ${resume} ms (${took.resume})`);
    assert.ok(wake < 3 * resume + 500);
  });

  test('is woken by an exec', async () => {
    await vm.waitFor('Suspended');
    assert.equal((await vm.exec(['hostname'])).stdout, 'web\n');
  });

  test('is woken through a port that was held while no engine was there', async () => {
    await vm.waitFor('Suspended');
    await real.engine.close();
    const waiting = request(port);
    await real.reopen(options);
    vm = await real.engine.get('web');
    assert.match(await waiting, /200 OK/);
  });
});
