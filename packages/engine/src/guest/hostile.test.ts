import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { encodeFrame, encodeResult, FrameType } from '@vivarium/protocol';
import type { Flood } from '../drivers/simulated/guest/index.ts';
import { SimulatedGuest } from '../drivers/simulated/guest/index.ts';
import { portPair } from '../drivers/simulated/guest/port-pair.ts';
import { connectGuest } from './connect.ts';
import { connectedGuest, execSpec, testDeadlineMs } from './connected-guest.ts';

const floods: Flood[] = ['events', 'pings', 'garbage', 'old-epoch', 'unknown-stream', 'stream-data'];

for (const kind of floods) {
  test(`a flood of ${kind} ends the channel with protocol_error and without growing memory`, async () => {
    await using setting = await connectedGuest();
    const exec = await setting.guest.exec(execSpec(['sleep', '1000']));
    setting.simulated.faults.silent.add('ping');
    const waiting = assert.rejects(setting.guest.ping(), (error) => isVivError(error, 'protocol_error'));
    const before = process.memoryUsage().rss;
    const flooding = setting.simulated.flood('control', kind);
    await setting.guest.closed;
    await flooding;
    await waiting;
    await assert.rejects(exec.exit, (error) => isVivError(error, 'protocol_error'));
    assert.ok(process.memoryUsage().rss - before < 150 * 1024 * 1024);
  });
}

test('a response nobody asked for ends the channel', async () => {
  await using setting = await connectedGuest();
  const exec = await setting.guest.exec(execSpec(['sleep', '1000']));
  setting.simulated.port('control')?.send(FrameType.response, 0, 1, encodeResult({ pid: 1 }));
  await setting.guest.closed;
  await assert.rejects(exec.exit, (error) => isVivError(error, 'protocol_error'));
});

for (const [what, exit] of Object.entries({
  'a code that is no exit status': { code: 4000 },
  'a negative code': { code: -1 },
  'a signal that is no name': { code: 137, signal: 'SIG\u001b[2J' },
})) {
  test(`an exit with ${what} ends the channel`, async () => {
    await using setting = await connectedGuest();
    const exec = await setting.guest.exec(execSpec(['sleep', '1000']));
    setting.simulated.port('control')?.event(1, 'exit', exit);
    await assert.rejects(exec.exit, (error) => isVivError(error, 'protocol_error'));
  });
}

test('garbage between frames is skipped', async () => {
  await using setting = await connectedGuest();
  for (let n = 0; n < 10; n += 1) {
    setting.simulated.port('control')?.sendRaw(Buffer.from('VIV1 kernel: something\r\n'));
    await setting.guest.ping();
  }
});

test('what an earlier conversation left in the port is dropped', async () => {
  const simulated = new SimulatedGuest();
  const stale = encodeFrame({ type: FrameType.data, flags: 1, epoch: 7n, stream: 3 }, Buffer.alloc(50_000));
  const open = async (channel: 'control' | 'bulk') => {
    const duplex = simulated.connect(channel);
    simulated.port(channel)?.sendRaw(stale.subarray(20_000));
    simulated.port(channel)?.sendRaw(stale);
    return duplex;
  };
  await using guest = await connectGuest(open, AbortSignal.timeout(testDeadlineMs));
  await guest.ping();
  simulated.end();
});

test('a guest that waits for the rest of a lost frame is woken with zeros and a second greeting', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const [host, port] = portPair();
  const simulated = new SimulatedGuest();
  const inner = simulated.connect('control');
  // The half frame of a host that was killed: the guest takes the first HELLO for the rest of it.
  const half = encodeFrame({ type: FrameType.data, flags: 0, epoch: 9n, stream: 1 }, Buffer.alloc(65_536));
  inner.write(half.subarray(0, 100));
  port.pipe(inner).pipe(port);
  const connecting = connectGuest(async () => host);
  // The greeting is on its way before time passes.
  await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(250);
  await using guest = await connecting;
  assert.equal(guest.agentVersion, '0.1.0');
  simulated.end();
});

test('a broken bulk channel leaves control alone and is opened anew', async () => {
  await using setting = await connectedGuest();
  const { guest, simulated } = setting;
  const tunnel = await guest.connect('localhost', 80);
  const broken = new Promise<unknown>((resolve) => tunnel.once('error', resolve));
  simulated
    .port('bulk')
    ?.sendRaw(encodeFrame({ type: FrameType.data, flags: 0, epoch: 1n, stream: 1 }, Buffer.alloc(10)));
  simulated.drop('bulk');
  assert.ok(isVivError(await broken, 'agent_unreachable'));
  await guest.ping();
  const again = await guest.connect('localhost', 80);
  again.destroy();
});
