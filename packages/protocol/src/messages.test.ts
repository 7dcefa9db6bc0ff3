import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'cborg';
import fc from 'fast-check';
import { decodeBody, encodeBody, maxDepth } from './cbor.ts';
import { Fields } from './fields.ts';
import * as messages from './messages.ts';
import { ProtocolError, type ProtocolErrorReason } from './protocol-error.ts';

const refused = (reason: ProtocolErrorReason) => (error: unknown) =>
  error instanceof ProtocolError && error.reason === reason;

test('a request comes out as it went in, without its undefined parameters', () => {
  const { method, params } = messages.decodeRequest(
    messages.encodeRequest('stat', { path: '/ü', size: 5n, no: undefined }),
  );
  assert.equal(method, 'stat');
  assert.equal(params.text('path'), '/ü');
  assert.equal(params.bigint('size'), 5n);
  assert.equal(params.has('no'), false);
});

test('responses carry a result or an error', () => {
  const good = messages.decodeResponse(messages.encodeResult({ pid: 7 }));
  assert.ok(good.ok && good.result.uint('pid') === 7);
  const error = { code: 'disk_full', message: 'no space', errno: 28, stage: 'overlay' };
  assert.deepEqual(messages.decodeResponse(messages.encodeFailure(error)), { ok: false, error });
  assert.deepEqual(messages.decodeReset(messages.encodeReset(error)), error);
});

test('greetings and events come out as they went in', () => {
  const welcome = { version: 1, agent: '0.1.0', bootId: 'b', generation: 2, features: ['exec'] };
  assert.deepEqual(messages.decodeWelcome(messages.encodeWelcome(welcome)), welcome);
  assert.deepEqual(messages.decodeHello(messages.encodeHello('me')), { versions: [1], host: 'me' });
  const event = messages.decodeEvent(messages.encodeEvent('exit', { code: 3, e: 'not this' }));
  assert.equal(event.name, 'exit');
  assert.equal(event.fields.uint('code'), 3);
  assert.equal(messages.decodeCredit(messages.encodeCredit(0xffffffff)), 0xffffffff);
});

test('64 KiB of nested arrays is refused without recursion', () => {
  assert.throws(() => decodeBody(Buffer.alloc(65_536, 0x81)), refused('malformed'));
  assert.throws(() => decodeBody(Buffer.alloc(65_536, 0xd8)), refused('malformed'));
});

test('nesting is allowed up to its limit and refused beyond', () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1), b: [] });
  assert.doesNotThrow(() => decodeBody(encode(nested(maxDepth - 1))));
  assert.throws(() => decodeBody(encode(nested(maxDepth + 1))), refused('malformed'));
});

for (const [what, hex] of Object.entries({
  'nothing at all': '',
  'a number': '01',
  'an array': '80',
  'a map cut short': 'a1616d',
  'bytes behind the map': 'a000',
  'an indefinite map': 'bf616d01ff',
  'the same key twice': 'a2616d01616d02',
  'a key that is no text': 'a10102',
  'a tag nobody knows': 'a1616dd9012301',
  'an array of 2^32 entries': 'a1616d9affffffff',
  'a text longer than the frame': 'a1616d7affffffff',
})) {
  test(`${what} is malformed`, () => {
    assert.throws(() => decodeBody(Buffer.from(hex, 'hex')), refused('malformed'));
  });
}

test('a field that is missing or of another type is named', () => {
  const fields = new Fields({ t: 1, n: -1, f: 1.5, list: ['a', 1], map: { a: 1 }, nothing: null }, 'X');
  const wrong: [string, () => unknown][] = [
    ['t', () => fields.text('t')],
    ['missing', () => fields.text('missing')],
    ['constructor', () => fields.text('constructor')],
    ['n', () => fields.uint('n')],
    ['f', () => fields.uint('f')],
    ['f', () => fields.bigint('f')],
    ['list', () => fields.texts('list')],
    ['map', () => fields.textMap('map')],
    ['t', () => fields.maps('t')],
    ['nothing', () => fields.bool('nothing')],
  ];
  for (const [key, read] of wrong) {
    assert.throws(read, (error) => refused('invalid_field')(error) && (error as Error).message.includes(key));
  }
  assert.equal(fields.optionalText('nothing'), undefined);
  assert.equal(fields.has('constructor'), false);
});

test('a map with the key __proto__ has that key and no other prototype', () => {
  const fields = new Fields(decodeBody(encodeBody(JSON.parse('{"env":{"__proto__":"x"}}'))), 'X');
  const env = fields.textMap('env');
  assert.deepEqual(Object.entries(env), [['__proto__', 'x']]);
});

test('any bytes are read as a message or refused with a ProtocolError', () => {
  const mutated = fc
    .tuple(fc.jsonValue({ maxDepth: 4 }), fc.nat(), fc.nat({ max: 255 }))
    .map(([value, at, byte]) => {
      const bytes = encode({ ok: true, r: value, e: 'exit' });
      bytes[at % bytes.length] = byte;
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
      for (const decode of [
        messages.decodeWelcome,
        messages.decodeHello,
        messages.decodeRequest,
        messages.decodeResponse,
        messages.decodeEvent,
        messages.decodeReset,
      ]) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error));
        }
      }
    }),
    { numRuns: 500 },
  );
});
