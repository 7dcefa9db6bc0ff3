import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest } from './nearest.ts';

test('a slip of the keys finds the word that was meant', () => {
  const known = ['start', 'stop', 'stats', 'ps', 'exec'];
  assert.equal(nearest('strat', known), 'start');
  assert.equal(nearest('exce', known), 'exec');
  assert.equal(nearest('sp', known), 'ps');
});

test('a word that is nothing like any other is not guessed at', () => {
  assert.equal(nearest('kubernetes', ['start', 'stop']), undefined);
});
