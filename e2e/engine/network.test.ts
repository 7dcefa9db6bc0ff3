import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { RealEngine, until } from './real-engine.ts';

describe('the network of a real VM', () => {
  let real: RealEngine;
  let web: Vm;
  before(async () => {
    real = await RealEngine.open();
    web = await real.engine.run('busybox', {
      name: 'web',
      cmd: ['httpd', '-f', '-p', '80', '-h', '/etc'],
      ports: [{ guestPort: 80 }],
    });
  });
  after(() => real[Symbol.asyncDispose]());

  const port = (vm: Vm) => vm.info.ports[0]?.hostPort ?? 0;
  const listening = (vm: Vm) =>
    until('the guest listens', async () => (await vm.exec(['netstat', '-ltn'])).stdout.includes(':80 '));
  const fetchText = async (at: number) => (await fetch(`http://127.0.0.1:${at}/hostname`)).text();

  test('answers on a published port of the loopback interface only', async () => {
    assert.equal(web.info.ports[0]?.hostAddress, '127.0.0.1');
    await listening(web);
    await web.exec(['sh', '-c', 'echo web > /etc/hostname']).orThrow();
    assert.equal(await fetchText(port(web)), 'web\n');
  });

  test('takes many connections at once', async () => {
    // Busybox's httpd lets nine wait; more than that the guest's kernel turns away.
    const eightTimes = () => Promise.all(Array.from({ length: 8 }, () => fetchText(port(web))));
    for (let n = 0; n < 5; n++) assert.deepEqual(new Set(await eightTimes()), new Set(['web\n']));
  });

  test('of two VMs is two networks, each with ports of its own', async () => {
    await using other = await real.engine.run('busybox', {
      cmd: ['httpd', '-f', '-p', '80', '-h', '/etc'],
      ports: [{ guestPort: 80 }],
    });
    await listening(other);
    await other.exec(['sh', '-c', 'echo other > /etc/hostname']).orThrow();
    assert.deepEqual([await fetchText(port(other)), await fetchText(port(web))], ['other\n', 'web\n']);
    assert.notEqual(other.info.network?.ip, web.info.network?.ip);
    assert.match((await other.exec(['ip', 'addr'])).stdout, new RegExp(`inet ${other.info.network?.ip}/`));
  });

  test('refuses a port that another program has, and leaves nothing of the VM', async () => {
    const { server, taken } = await listenAnywhere();
    try {
      await assert.rejects(
        async () =>
          await real.engine.run('busybox', { name: 'late', ports: [{ guestPort: 80, hostPort: taken }] }),
        (error: Error & { code: string }) => {
          assert.equal(error.code, 'port_in_use');
          assert.match(error.message, new RegExp(String(taken)));
          return true;
        },
      );
    } finally {
      server.close();
    }
    assert.deepEqual(await readdir(path.join(real.home, 'instances')), [web.id]);
    await assert.rejects(real.engine.get('late'), { code: 'not_found' });
  });

  test('is reached through the agent as well, without a published port', async () => {
    const socket = await web.connect(80);
    socket.write('GET /hostname HTTP/1.0\r\n\r\n');
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    assert.match(answer, /^HTTP\/1\.[01] 200 OK[\s\S]*\r\n\r\nweb\n$/);
    await assert.rejects(web.connect(81));
  });

  test('lets a guest out to a server of the host, by the address of its gateway', async () => {
    const greeting = 'hello from the host\n';
    const { server, taken } = await listenAnywhere((socket) => socket.end(greeting));
    try {
      const { stdout } = await web.exec(['nc', '-w', '5', web.info.network?.gateway ?? '', String(taken)]);
      assert.equal(stdout, greeting);
    } finally {
      server.close();
    }
  });

  test('resets a connection to a port where nobody listens in the guest', async () => {
    await using silent = await real.engine.run('busybox', { ports: [{ guestPort: 81 }] });
    const ended = await new Promise<string>((resolve) => {
      const socket = connect(port(silent), '127.0.0.1');
      socket.once('error', ({ message }) => resolve(message));
      socket.once('close', () => resolve('closed'));
    });
    assert.match(ended, /closed|reset/i);
  });

  test('keeps its port over a stop and a start, and takes another where it has been taken', async () => {
    const before = port(web);
    await web.stop();
    await web.start();
    assert.equal(port(web), before);
    await web.stop();
    const { server } = await listenAnywhere(undefined, before);
    try {
      await web.start();
      assert.notEqual(port(web), before);
      await listening(web);
      assert.equal(await fetchText(port(web)), 'web\n');
    } finally {
      server.close();
    }
  });

  test('can be none at all', async () => {
    await using lonely = await real.engine.run('busybox', { network: 'none' });
    assert.equal(lonely.info.network, undefined);
    const { stdout } = await lonely.exec(['ls', '/sys/class/net']);
    assert.deepEqual(stdout.trim().split(/\s+/), ['lo']);
  });
});

async function listenAnywhere(
  serve?: (socket: Socket) => void,
  port = 0,
): Promise<{ server: Server; taken: number }> {
  const server = createServer(serve);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return { server, taken: (server.address() as { port: number }).port };
}
