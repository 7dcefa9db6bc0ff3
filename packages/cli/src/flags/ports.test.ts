import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { parsePorts } from './ports.ts';

test('a port is published as Docker writes it', () => {
  assert.deepEqual(parsePorts('80'), [{ guestPort: 80 }]);
  assert.deepEqual(parsePorts('8080:80'), [{ hostPort: 8080, guestPort: 80 }]);
  assert.deepEqual(parsePorts('8080:80/tcp'), [{ hostPort: 8080, guestPort: 80 }]);
  assert.deepEqual(parsePorts('0.0.0.0:8080:80'), [
    { hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80 },
  ]);
  assert.deepEqual(parsePorts('[::1]:8080:80'), [{ hostAddress: '::1', hostPort: 8080, guestPort: 80 }]);
});

test('an empty host port, or 0, lets the engine choose one', () => {
  assert.deepEqual(parsePorts('127.0.0.1::80'), [{ hostAddress: '127.0.0.1', guestPort: 80 }]);
  assert.deepEqual(parsePorts(':80'), [{ guestPort: 80 }]);
  assert.deepEqual(parsePorts('0:80'), [{ guestPort: 80 }]);
});

test('ranges of equal length are published port by port', () => {
  assert.deepEqual(parsePorts('8000-8001:90-91'), [
    { hostPort: 8000, guestPort: 90 },
    { hostPort: 8001, guestPort: 91 },
  ]);
});

for (const wrong of [
  '',
  ':',
  'x',
  '80:',
  '70000',
  '0',
  '80:0',
  '80/udp',
  '1:2:3:4',
  '1-2:3',
  '5-4',
  '-1',
  '::1:80:80',
]) {
  test(`${JSON.stringify(wrong)} is refused as a port with a hint`, () => {
    assert.throws(
      () => parsePorts(wrong),
      (error) => isVivError(error, 'invalid_request') && error.hint !== undefined,
    );
  });
}

test('every well-formed port comes back as it was written', () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  fc.assert(
    fc.property(fc.option(fc.ipV4()), fc.option(port), port, (address, host, guest) => {
      const spec = `${address === null ? '' : `${address}:`}${host ?? ''}${address === null && host === null ? '' : ':'}${guest}`;
      const expected = {
        ...(address === null ? {} : { hostAddress: address }),
        ...(host === null ? {} : { hostPort: host }),
        guestPort: guest,
      };
      assert.deepEqual(parsePorts(spec), [expected]);
    }),
  );
});

test('no text makes the parser fail otherwise than with invalid_request', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        for (const { guestPort } of parsePorts(text)) assert.ok(guestPort >= 1 && guestPort <= 65_535);
      } catch (error) {
        assert.ok(isVivError(error, 'invalid_request'));
      }
    }),
  );
});
