import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { connectedGuest } from './connected-guest.ts';

test('a tunnel carries megabytes both ways and half-closes', async () => {
  await using setting = await connectedGuest();
  const tunnel = await setting.guest.connect('localhost', 80);
  const sent = Buffer.alloc(2_000_000);
  for (let i = 0; i < sent.length; i += 4) sent.writeUInt32LE(i, i);
  tunnel.end(sent);
  const chunks: Buffer[] = [];
  for await (const chunk of tunnel) chunks.push(chunk);
  assert.ok(sent.equals(Buffer.concat(chunks)));
});

test('a connection the guest refuses is the error of connect', async () => {
  await using setting = await connectedGuest();
  setting.simulated.faults.errors.set('tcp.connect', {
    code: 'not_found',
    message: 'connection refused',
    errno: 111,
  });
  await assert.rejects(setting.guest.connect('localhost', 81), (error) => isVivError(error, 'not_found'));
});

test('a deadline gives up a connection that does not come about', async () => {
  await using setting = await connectedGuest();
  setting.simulated.faults.silent.add('tcp.connect');
  const connecting = setting.guest.connect('localhost', 80, AbortSignal.timeout(5));
  await assert.rejects(connecting, (error) => isVivError(error, 'timeout'));
  await setting.guest.ping();
});

test('a tunnel that is not read stops its sender, and others go on', async () => {
  await using setting = await connectedGuest();
  const stalled = await setting.guest.connect('localhost', 80);
  let stalledWrites = 0;
  const write = () => stalled.write(Buffer.alloc(65_536), () => (stalledWrites += 1));
  for (let n = 0; n < 64; n += 1) write();
  const other = await setting.guest.connect('localhost', 80);
  other.end('hello');
  const chunks: Buffer[] = [];
  for await (const chunk of other) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), 'hello');
  // Two windows and two stream buffers hold at most so much.
  assert.ok(stalledWrites < 16, `${stalledWrites} writes were taken`);
  stalled.destroy();
});

test('destroying a tunnel resets it in the guest', async () => {
  await using setting = await connectedGuest();
  const tunnel = await setting.guest.connect('localhost', 80);
  tunnel.destroy();
  await once(tunnel, 'close');
  const next = await setting.guest.connect('localhost', 80);
  next.end('x');
  for await (const chunk of next) assert.equal(chunk.toString(), 'x');
  assert.equal(setting.simulated.port('bulk')?.streamCount, 0);
});

test('a lost channel is the error of its tunnels', async () => {
  await using setting = await connectedGuest();
  const tunnel = await setting.guest.connect('localhost', 80);
  const lost = once(tunnel, 'error');
  setting.simulated.drop('bulk');
  const [error] = await lost;
  assert.ok(isVivError(error, 'agent_unreachable'));
});

test('a tunnel that was read to its end does not care when the channel is lost', async () => {
  await using setting = await connectedGuest();
  const tunnel = await setting.guest.connect('localhost', 80);
  // As if the guest had ended its direction; ours stays open.
  const over = once(tunnel, 'end');
  tunnel.resume();
  tunnel.push(null);
  await over;
  const closed = once(tunnel, 'close');
  setting.simulated.drop('bulk');
  await closed;
  assert.equal(tunnel.errored, null);
});
