import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { parseCopyEnd, planCopy } from './copy-paths.ts';

test('a name before a colon is a VM, unless the text is plainly a path of this machine', () => {
  assert.deepEqual(parseCopyEnd('web:/srv'), { kind: 'guest', vm: 'web', path: '/srv' });
  assert.deepEqual(parseCopyEnd('web:a:b'), { kind: 'guest', vm: 'web', path: 'a:b' });
  assert.deepEqual(parseCopyEnd('./web:x'), { kind: 'host', path: './web:x' });
  assert.deepEqual(parseCopyEnd('/tmp/web:x'), { kind: 'host', path: '/tmp/web:x' });
  assert.deepEqual(parseCopyEnd('dir/web:x'), { kind: 'host', path: 'dir/web:x' });
  assert.deepEqual(parseCopyEnd('.web:x'), { kind: 'host', path: '.web:x' });
  assert.deepEqual(parseCopyEnd(':x'), { kind: 'host', path: ':x' });
  assert.deepEqual(parseCopyEnd('-'), { kind: 'stream' });
});

test('one end of a copy is in a VM, and says which way it goes', () => {
  assert.deepEqual(planCopy('a', 'web:/b'), { way: 'in', vm: 'web', from: 'a', to: '/b' });
  assert.deepEqual(planCopy('-', 'web:/b'), { way: 'in', vm: 'web', from: undefined, to: '/b' });
  assert.deepEqual(planCopy('web:/b', 'a'), { way: 'out', vm: 'web', from: '/b', to: 'a' });
  assert.deepEqual(planCopy('web:/b', '-'), { way: 'out', vm: 'web', from: '/b', to: undefined });
});

for (const [from, to] of [
  ['a', 'b'],
  ['-', 'b'],
  ['a:x', 'b:y'],
  ['web:', 'b'],
  ['', 'web:/x'],
] as const) {
  test(`copying ${JSON.stringify(from)} to ${JSON.stringify(to)} is refused`, () => {
    assert.throws(
      () => planCopy(from, to),
      (error) => isVivError(error, 'invalid_request'),
    );
  });
}

test('a path of a VM comes back whole, whatever it holds', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/),
      fc.string({ minLength: 1 }),
      (vm, path) => {
        assert.deepEqual(parseCopyEnd(`${vm}:${path}`), { kind: 'guest', vm, path });
      },
    ),
  );
});
