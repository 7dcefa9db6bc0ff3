import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { QmpClient } from './qmp.ts';

const greeting = '{"QMP": {"version": {}, "capabilities": []}}\r\n';

describe('a QMP client', () => {
  let dir: string;
  let server: Server;
  let onConnection: (socket: Socket) => void;
  const sockets = new Set<Socket>();

  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-qmp-'));
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {}); // the client hangs up when it likes
      onConnection(socket);
    });
    await new Promise<void>((resolve) => server.listen(path.join(dir, 'qmp.sock'), resolve));
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(dir, { recursive: true });
  });

  const connect = (timeoutMs = 1_000) => QmpClient.connect(dir, 'qmp.sock', { timeoutMs });

  /** Greets, and answers each command with what `answer` says. */
  const speak = (answer: (command: { execute: string; id: number }) => string) => (socket: Socket) => {
    socket.write(greeting);
    socket.on('data', (data) => {
      for (const line of String(data).trim().split('\n')) {
        const command = JSON.parse(line);
        const plain = JSON.stringify({ return: {}, id: command.id });
        socket.write(`${command.execute === 'qmp_capabilities' ? plain : answer(command)}\r\n`);
      }
    });
  };

  test('matches answers to commands by id, in whatever order they come', async () => {
    const held: string[] = [];
    onConnection = speak(({ execute, id }) => {
      held.unshift(JSON.stringify({ return: execute, id }));
      return held.length === 2 ? held.splice(0).join('\n') : '';
    });
    const client = await connect();
    assert.deepEqual(await Promise.all([client.execute('a'), client.execute('b')]), ['a', 'b']);
    client.close();
  });

  test('gives an error of QEMU in its own words', async () => {
    onConnection = speak(({ id }) =>
      JSON.stringify({ error: { class: 'GenericError', desc: 'No such device' }, id }),
    );
    const client = await connect();
    await assert.rejects(client.execute('x'), {
      code: 'vmm_failed',
      message: 'QEMU refused: No such device',
    });
    client.close();
  });

  test('gives up on a command that is not answered, and takes the late answer for nothing', async () => {
    const ids: number[] = [];
    onConnection = speak(({ id }) => {
      ids.push(id);
      return ids.length === 1
        ? ''
        : `${JSON.stringify({ return: 'late', id: ids[0] })}\n${JSON.stringify({ return: 'now', id })}`;
    });
    const client = await connect();
    await assert.rejects(client.execute('slow', {}, 20), { code: 'vmm_failed' });
    assert.equal(await client.execute('next'), 'now');
    client.close();
  });

  test('ends what is under way when the connection is lost', async () => {
    onConnection = speak(() => {
      for (const socket of sockets) socket.destroy();
      return '';
    });
    const client = await connect();
    await assert.rejects(client.execute('x'), { code: 'vmm_failed', message: /connection.*lost/i });
    await client.closed;
    await assert.rejects(client.execute('y'), { code: 'vmm_failed' });
  });

  test('does not wait for a greeting for ever', async () => {
    onConnection = () => {};
    await assert.rejects(connect(20), { code: 'vmm_failed', message: /greet/ });
  });

  test('tells events, and which one was waited for', async () => {
    onConnection = speak(
      ({ id }) => `{"event":"STOP","timestamp":{}}\n${JSON.stringify({ return: {}, id })}`,
    );
    const client = await connect();
    const stopped = client.waitFor('STOP', 1_000);
    await client.execute('stop');
    assert.deepEqual(await stopped, { name: 'STOP', data: {} });
    assert.equal(await client.waitFor('RESUME', 1), undefined);
    client.close();
  });

  test('survives whatever bytes come instead of QMP: an answer or a typed error, never a hang', async () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.json().map((json) => Buffer.from(`${json}\n`)),
      fc
        .constantFrom('{"return":1,"id":{}}\n', '{"error":null,"id":1}\n', '{"event":1}\n')
        .map((line) => Buffer.from(line)),
    );
    await fc.assert(
      fc.asyncProperty(noise, async (bytes) => {
        onConnection = (socket) => socket.write(bytes);
        await assert.rejects(connect(15), { code: 'vmm_failed' });
        onConnection = speak(() => String(bytes));
        const client = await connect();
        await assert.rejects(client.execute('x', {}, 15), { code: 'vmm_failed' });
        client.close();
      }),
      { numRuns: 40 },
    );
  });
});
