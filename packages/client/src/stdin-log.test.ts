import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { StdinLog } from './stdin-log.ts';

/** A daemon that takes frames while it is there, and a guest that takes some of what the daemon has. */
class Receiver {
  connected = true;
  /** With the daemon. */
  bytes: number[] = [];
  /** With the guest: survives the daemon. */
  taken = 0;
  eofs = 0;

  readonly take = (frame: string | Uint8Array): boolean => {
    if (!this.connected) return false;
    if (typeof frame === 'string') this.eofs++;
    else this.bytes.push(...frame.subarray(1));
    return true;
  };

  /** The daemon dies: what the guest has not taken is gone. */
  die(): void {
    this.connected = false;
    this.bytes.length = this.taken;
    this.eofs = 0;
  }
}

test('however often the connection is lost, every byte arrives once and in order', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('write' as const), size: fc.integer({ min: 1, max: 3000 }) }),
    fc.record({
      kind: fc.constantFrom('die' as const, 'resume' as const, 'take' as const, 'end' as const),
      size: fc.nat(5000),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const receiver = new Receiver();
      const log = new StdinLog(receiver.take);
      log.resume(0);
      const sent: number[] = [];
      let ended = false;
      const resume = () => {
        receiver.connected = true;
        log.resume(receiver.bytes.length);
      };
      for (const { kind, size } of steps) {
        if (kind === 'write' && !ended) {
          const data = Uint8Array.from({ length: size }, (_, i) => (sent.length + i) % 251);
          sent.push(...data);
          void log.write(data);
          data.fill(0);
        } else if (kind === 'take' && receiver.connected) {
          receiver.taken = Math.min(receiver.bytes.length, receiver.taken + size);
          log.onWritten(receiver.bytes.length, receiver.taken);
        } else if (kind === 'die') receiver.die();
        else if (kind === 'resume' && !receiver.connected) resume();
        else if (kind === 'end') {
          ended = true;
          log.end();
        }
      }
      if (!receiver.connected) resume();
      assert.deepEqual(receiver.bytes, sent);
      assert.equal(receiver.eofs > 0, ended);
    }),
  );
});

test('a writer waits while the daemon does not keep up, and is let go when the command ends', async () => {
  const receiver = new Receiver();
  const log = new StdinLog(receiver.take);
  log.resume(0);
  let written = false;
  const write = log.write(new Uint8Array(600_000)).then(() => {
    written = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(written, false);
  assert.ok(receiver.bytes.length < 400_000);
  for (let i = 0; i < 10 && !written; i++) {
    log.onWritten(receiver.bytes.length, receiver.bytes.length);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await write;
  assert.equal(receiver.bytes.length, 600_000);
  const stuck = log.write(new Uint8Array(600_000));
  log.stop();
  await assert.rejects(stuck, (error) => isVivError(error, 'conflict'));
  await assert.rejects(log.write(new Uint8Array(1)), (error) => isVivError(error, 'conflict'));
});

test('a session that misses bytes which are gone is refused, never filled with others', () => {
  const receiver = new Receiver();
  const log = new StdinLog(receiver.take);
  log.resume(0);
  void log.write(new Uint8Array(1000));
  log.onWritten(1000, 1000);
  assert.throws(
    () => log.resume(500),
    (error) => isVivError(error, 'conflict'),
  );
  assert.throws(
    () => log.resume(1001),
    (error) => isVivError(error, 'conflict'),
  );
  log.resume(1000);
});

test('an entrypoint that has read before is written to from where it is', () => {
  const receiver = new Receiver();
  const log = new StdinLog(receiver.take);
  void log.write(Uint8Array.of(1, 2, 3));
  receiver.bytes = [];
  log.resume(5000);
  assert.deepEqual(receiver.bytes, [1, 2, 3]);
});
