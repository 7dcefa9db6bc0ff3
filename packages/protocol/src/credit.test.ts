import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { grantStepBytes, initialWindowBytes, ReceiveWindow, SendWindow } from './credit.ts';
import { ProtocolError } from './protocol-error.ts';

test('sender and receiver agree on the window whatever is sent and read', () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 100_000 }), fc.nat({ max: 100_000 })), { maxLength: 100 });
  fc.assert(
    fc.property(steps, (plan) => {
      const [send, receive] = [new SendWindow(), new ReceiveWindow()];
      let unread = 0;
      for (const [wanted, read] of plan) {
        const sent = send.take(wanted);
        receive.receive(sent);
        unread += sent;
        const taken = Math.min(read, unread);
        unread -= taken;
        send.grant(receive.consume(taken));
        assert.equal(send.available, receive.available);
        assert.ok(unread <= initialWindowBytes);
        assert.ok(send.acknowledgedBytes <= send.sentBytes - unread);
      }
      // Whoever reads everything never leaves the sender without credit.
      send.grant(receive.consume(unread));
      assert.ok(send.available > initialWindowBytes - grantStepBytes);
    }),
  );
});

test('one byte beyond the window is an overrun', () => {
  const window = new ReceiveWindow();
  window.receive(initialWindowBytes);
  assert.throws(
    () => window.receive(1),
    (error) => error instanceof ProtocolError && error.reason === 'window_overrun',
  );
});

test('grants come in steps of a quarter of the window', () => {
  const window = new ReceiveWindow();
  window.receive(initialWindowBytes);
  assert.equal(window.consume(grantStepBytes - 1), 0);
  assert.equal(window.consume(1), grantStepBytes);
});

test('a widened window is granted in quarters of what it has become', () => {
  const window = new ReceiveWindow();
  window.widen(3 * initialWindowBytes);
  window.receive(4 * initialWindowBytes);
  assert.equal(window.consume(initialWindowBytes - 1), 0);
  assert.equal(window.consume(1), initialWindowBytes);
});

test('absurd grants neither overflow nor count as acknowledged bytes', () => {
  const window = new SendWindow();
  for (let n = 0; n < 10_000; n += 1) window.grant(0xffffffff);
  assert.equal(window.available, 0xffffffff);
  window.take(10);
  assert.equal(window.acknowledgedBytes, 10);
});
