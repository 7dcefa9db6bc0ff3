import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameDecoder } from './decoder.ts';
import { encodeFrame, type Frame, FrameType } from './frame.ts';
import { HostConnection } from './host-connection.ts';
import * as messages from './messages.ts';
import { ProtocolError, type ProtocolErrorReason } from './protocol-error.ts';
import type { StreamHandler } from './wire-stream.ts';

const epoch = 42n;
const welcome = { version: 1, agent: 'a', bootId: 'b', generation: 0, features: [] };

function connect({ greeted = true } = {}) {
  const sent: Frame[] = [];
  const heard: string[] = [];
  const decoder = new FrameDecoder();
  const connection = new HostConnection({
    epoch,
    host: 'test',
    write: (parts) => decoder.push(Buffer.concat(parts), (frame) => sent.push(frame)),
    welcome: () => heard.push('welcome'),
    event: (event) => heard.push(`event ${event.name}`),
  });
  const receive = (type: number, stream: number, payload?: Uint8Array, flags = 0, from = epoch) =>
    connection.receive(encodeFrame({ type, flags, epoch: from, stream }, payload));
  const handler: StreamHandler = {
    response: (response) => heard.push(response.ok ? 'ok' : response.error.code),
    data: (channel, payload) => heard.push(`data ${channel} ${payload}`),
    end: (channel) => heard.push(`end ${channel}`),
    event: (event) => heard.push(`event ${event.name}`),
    reset: (error) => heard.push(`reset ${error.code}`),
    lost: (error) => heard.push(`lost ${error}`),
  };
  if (greeted) receive(FrameType.welcome, 0, messages.encodeWelcome(welcome));
  heard.length = 0;
  return { connection, sent, heard, receive, handler };
}

const refused = (reason: ProtocolErrorReason) => (error: unknown) =>
  error instanceof ProtocolError && error.reason === reason;

test('everything before the WELCOME of our own epoch is dropped', () => {
  const { connection, heard, receive } = connect({ greeted: false });
  receive(FrameType.data, 1, Buffer.from('old'), 1, 7n);
  receive(FrameType.response, 1, Buffer.from('nonsense'));
  receive(FrameType.welcome, 0, messages.encodeWelcome(welcome), 0, 7n);
  assert.equal(connection.state, 'greeting');
  receive(FrameType.welcome, 0, messages.encodeWelcome(welcome));
  assert.equal(connection.state, 'open');
  assert.deepEqual(heard, ['welcome']);
});

test('a guest without a common version is refused', () => {
  const { receive } = connect({ greeted: false });
  const none = messages.encodeWelcome({ ...welcome, version: 0 });
  assert.throws(() => receive(FrameType.welcome, 0, none), refused('version'));
});

test('a stream hears its response, data, ends and events, and only those of its epoch', () => {
  const { connection, heard, receive, handler } = connect();
  const { id } = connection.open('exec.start', {}, handler);
  receive(FrameType.response, id, messages.encodeResult({}));
  receive(FrameType.data, id, Buffer.from('x'), 1);
  receive(FrameType.data, id, Buffer.from('stale'), 1, 7n);
  receive(FrameType.eof, id, undefined, 1);
  receive(FrameType.event, id, messages.encodeEvent('exit', { code: 0 }));
  assert.deepEqual(heard, ['ok', 'data 1 x', 'end 1', 'event exit']);
});

test('frames for a stream that is over are dropped; for one never opened they are refused', () => {
  const { connection, heard, receive, handler } = connect();
  const stream = connection.open('ping', {}, handler);
  stream.release();
  receive(FrameType.response, stream.id, messages.encodeResult({}));
  assert.deepEqual(heard, []);
  assert.equal(connection.noise, 1);
  assert.throws(() => receive(FrameType.data, stream.id + 1, Buffer.from('x')), refused('unexpected_frame'));
});

test('a second response, data after the end and a channel 3 are refused', () => {
  const { connection, receive, handler } = connect();
  const { id } = connection.open('exec.start', {}, handler);
  receive(FrameType.response, id, messages.encodeResult({}));
  assert.throws(
    () => receive(FrameType.response, id, messages.encodeResult({})),
    refused('unexpected_frame'),
  );
  receive(FrameType.eof, id, undefined, 1);
  assert.throws(() => receive(FrameType.data, id, Buffer.from('x'), 1), refused('unexpected_frame'));
  assert.throws(() => receive(FrameType.data, id, Buffer.from('x'), 3), refused('unexpected_frame'));
});

test('data beyond the window is refused, and credit is granted as it is consumed', () => {
  const { connection, sent, receive, handler } = connect();
  const stream = connection.open('copy.out', {}, { ...handler, data: () => undefined });
  for (let n = 0; n < 4; n += 1) receive(FrameType.data, stream.id, Buffer.alloc(65_536));
  assert.throws(() => receive(FrameType.data, stream.id, Buffer.alloc(1)), refused('window_overrun'));
  sent.length = 0;
  stream.consumed(0, 65_535);
  assert.equal(sent.length, 0);
  stream.consumed(0, 1);
  assert.equal(messages.decodeCredit(sent[0]?.payload ?? Buffer.alloc(0)), 65_536);
  receive(FrameType.data, stream.id, Buffer.alloc(65_536));
});

test('sending beyond the credit is a defect of ours; credit from the guest allows more', () => {
  const { connection, receive, handler } = connect();
  const stream = connection.open('copy.in', {}, handler);
  for (let n = 0; n < 4; n += 1) stream.send(0, Buffer.alloc(65_536));
  assert.throws(() => stream.send(0, Buffer.alloc(1)), RangeError);
  receive(FrameType.credit, stream.id, messages.encodeCredit(100));
  assert.equal(stream.sendable(0), 100);
  assert.equal(stream.acknowledged(0), 100);
});

test('a reset by the guest frees the stream before its owner hears of it', () => {
  const { connection, heard, receive, handler } = connect();
  const stream = connection.open('exec.attach', {}, handler);
  receive(FrameType.reset, stream.id, messages.encodeReset({ code: 'conflict', message: 'taken over' }));
  assert.deepEqual(heard, ['reset conflict']);
  assert.equal(stream.open, false);
  assert.equal(connection.streamCount, 0);
});

test('pings are answered with their bytes; long ones are refused', () => {
  const { sent, receive } = connect();
  receive(FrameType.ping, 0, Buffer.from('abc'));
  assert.deepEqual(
    sent.map((frame) => [frame.type, frame.payload.toString()]),
    [[FrameType.pong, 'abc']],
  );
  assert.throws(() => receive(FrameType.ping, 0, Buffer.alloc(65)), refused('malformed'));
});

test('closing tells every stream once and sends nothing more', () => {
  const { connection, sent, heard, receive, handler } = connect();
  const stream = connection.open('ping', {}, handler);
  connection.open('ping', {}, handler);
  sent.length = 0;
  connection.close('gone');
  connection.close('again');
  assert.deepEqual(heard, ['lost gone', 'lost gone']);
  stream.reset({ code: 'cancelled', message: '' });
  receive(FrameType.ping, 0, Buffer.from('abc'));
  assert.equal(sent.length, 0);
});

test('a second WELCOME and frames of unknown types are ignored', () => {
  const { connection, heard, receive, handler } = connect();
  const { id } = connection.open('ping', {}, handler);
  receive(FrameType.welcome, 0, messages.encodeWelcome(welcome));
  receive(0x7f, 0, Buffer.from('future'));
  receive(0x7f, id, Buffer.from('future'));
  receive(FrameType.response, id, messages.encodeResult({}));
  assert.deepEqual(heard, ['ok']);
});
