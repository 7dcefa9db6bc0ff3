import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { digestPrefix, formatReference, normalizeReference, parseReference } from './reference.ts';

const digest = `sha256:${'ab'.repeat(32)}`;

test('a reference is completed as Docker does', () => {
  const cases: [string, string][] = [
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['user/app', 'docker.io/user/app:latest'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app:1', 'localhost:5000/app:1'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c:latest'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    ['ghcr.io/x/y__z.w-v:T_1.2-3', 'ghcr.io/x/y__z.w-v:T_1.2-3'],
    ['Host/app', 'Host/app:latest'],
    [`busybox@${digest}`, `docker.io/library/busybox@${digest}`],
    [`busybox:1@${digest}`, `docker.io/library/busybox:1@${digest}`],
  ];
  for (const [text, expected] of cases) assert.equal(normalizeReference(text), expected, text);
});

test('what is no reference is refused with its reason', () => {
  const wrong = [
    '',
    ' busybox',
    'Busybox',
    'a//b',
    '/a',
    'a/',
    'a:',
    ':1',
    'a:b c',
    'a@sha256:12',
    'a@md5:00',
    'a..b',
    '-a',
    'a:.1',
    `a:${'x'.repeat(129)}`,
    'x'.repeat(300),
    'ab'.repeat(32),
    'localhost:99999/a',
    'a/../b',
    'busybox\n',
    'https://ghcr.io/x',
    'a@',
  ];
  for (const text of wrong) {
    assert.throws(
      () => parseReference(text),
      (error) => isVivError(error, 'invalid_reference'),
      JSON.stringify(text),
    );
  }
});

test('a normalised reference stays as it is, and anything else is refused with the right error', () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const parts = fc.record({
    host: fc.constantFrom('', 'localhost:5000/', 'r.example/'),
    name: fc.array(word, { minLength: 1, maxLength: 3 }),
    tag: word,
  });
  fc.assert(
    fc.property(parts, ({ host, name, tag }) => {
      const once = normalizeReference(`${host}${name.join('/')}:${tag}`);
      assert.equal(normalizeReference(once), once);
      assert.equal(formatReference(parseReference(once)), once);
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        normalizeReference(text);
      } catch (error) {
        assert.ok(isVivError(error, 'invalid_reference'));
      }
    }),
  );
});

test('four hex digits and more are taken for a digest, fewer are not', () => {
  assert.equal(digestPrefix('abcd'), 'sha256:abcd');
  assert.equal(digestPrefix('sha256:abcd1'), 'sha256:abcd1');
  assert.equal(digestPrefix('abc'), undefined);
  assert.equal(digestPrefix('busybox'), undefined);
});
