import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextName, numbered } from './name-pattern.ts';

test('a pattern takes the lowest number that is free, from 1', () => {
  assert.equal(nextName('snap%d', []), 'snap1');
  assert.equal(nextName('snap%d', ['snap1', 'snap2', 'snap4']), 'snap3');
  assert.equal(nextName('snap%d', ['snap01', 'snap', 'other1']), 'snap1');
  assert.equal(nextName('%d-of-%d', ['1-of-1']), '2-of-2');
});

test('a name that is no pattern is left as it is, taken or not', () => {
  assert.equal(nextName('base', ['base']), 'base');
});

test('a pattern is filled with a number of the caller’s', () => {
  assert.equal(numbered('web-%d', 12), 'web-12');
});
