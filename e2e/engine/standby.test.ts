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
