import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Channel, maxPayloadBytes, WireStream } from '@vivarium/protocol';
import { CreditGate } from './credit-gate.ts';

const window = 262_144;

/** A gate whose stream notes the length of each frame; `grant` is the guest's credit. */
function gateTo(lengths: number[], leastBytes?: number) {
  const link = {
    send: (_type: number, _channel: number, _stream: number, payload?: Uint8Array) => {
      lengths.push(payload?.byteLength ?? 0);
    },
    release: () => undefined,
  };
  const stream = new WireStream(1, { reset: () => undefined, lost: () => undefined }, link);
  const gate = new CreditGate(stream, Channel.stdin, leastBytes);
  const grant = (bytes: number) => {
    stream.channel(Channel.stdin).send.grant(bytes);
    gate.open();
  };
  return { gate, grant };
}

test('a gate sends what there is credit for, however little', async () => {
  const lengths: number[] = [];
  const { gate, grant } = gateTo(lengths);
  const sent = gate.send(Buffer.alloc(window + 10));
  grant(4);
  await Promise.resolve();
  grant(6);
  await sent;
  assert.deepEqual(lengths.slice(4), [4, 6]);
});

test('a gate for whole frames waits for the credit of one, and sends the rest of the data as it is', async () => {
  const lengths: number[] = [];
  const { gate, grant } = gateTo(lengths, maxPayloadBytes);
  await gate.send(Buffer.alloc(1_000));
  const sent = gate.send(Buffer.alloc(window + 10));
  grant(999);
  await Promise.resolve();
  assert.deepEqual(lengths, [1_000, maxPayloadBytes, maxPayloadBytes, maxPayloadBytes]);
  grant(11);
  await sent;
  assert.deepEqual(lengths.slice(4), [maxPayloadBytes, 10]);
});
