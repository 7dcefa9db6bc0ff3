import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { GatedChannel } from './gate.ts';
import { portPair } from './guest/port-pair.ts';

let host: ReturnType<typeof portPair>[0];
let guest: ReturnType<typeof portPair>[1];

beforeEach(() => {
  [host, guest] = portPair();
});

/** Everything that is under way has arrived. */
async function quiet(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

/** What a stream has given so far. */
function collected(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk;
  });
  return () => text;
}

describe('the channel of a guest', () => {
  test('that is frozen holds bytes in both directions, and lets them go in order', async () => {
    const channel = new GatedChannel(false);
    channel.attach(host);
    const [heard, told] = [collected(guest), collected(channel)];
    channel.write('a');
    channel.write('b');
    guest.write('c');
    await quiet();
    assert.deepEqual([heard(), told()], ['', '']);
    channel.setOpen(true);
    await quiet();
    assert.deepEqual([heard(), told()], ['ab', 'c']);
    channel.setOpen(false);
    channel.write('d');
    guest.write('e');
    await quiet();
    assert.deepEqual([heard(), told()], ['ab', 'c']);
  });

  test('that is not up yet keeps what it is told until it is', async () => {
    const channel = new GatedChannel(true);
    channel.write('early');
    const heard = collected(guest);
    channel.attach(host);
    await quiet();
    assert.equal(heard(), 'early');
  });

  test('ends with the guest, and the guest with it', async () => {
    const channel = new GatedChannel(true);
    channel.attach(host);
    channel.resume();
    const closed = new Promise((resolve) => channel.once('close', resolve));
    guest.destroy();
    await closed;
    const [other, far] = portPair();
    const second = new GatedChannel(true);
    second.attach(other);
    const farClosed = new Promise((resolve) => far.once('close', resolve));
    second.destroy();
    await farClosed;
  });

  test('that is off but whose VMM is not stays open and silent', async () => {
    const channel = new GatedChannel(true);
    channel.attach(host);
    channel.detach();
    guest.destroy();
    await quiet();
    assert.equal(channel.destroyed, false);
    assert.equal(channel.readableEnded, false);
  });

  test('that was given up before there was a guest gives the guest up too', () => {
    const channel = new GatedChannel(true);
    channel.destroy();
    channel.attach(host);
    assert.equal(host.destroyed, true);
  });
});
