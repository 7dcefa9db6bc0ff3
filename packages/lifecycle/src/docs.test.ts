import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { generate, page } from '../../../scripts/docs-lifecycle.ts';
import { allStates, graphviz, mermaid, printState, printStates, table } from './index.ts';

test('docs/lifecycle.md is what the table says', () => {
  const text = readFileSync(page, 'utf8');
  assert.equal(text, generate(text), 'run: node scripts/docs-lifecycle.ts');
});

test('a page without its markers is refused, not silently left alone', () => {
  assert.throws(() => generate('# The life cycle'), /has no "<!-- begin/);
});

test('the printed table has every state and every row', () => {
  const text = printStates();
  for (const state of allStates) assert.match(text, new RegExp(`^${state} `, 'm'));
  for (const { on } of table) assert.match(text, new RegExp(` ${on} `));
  assert.doesNotMatch(text, / $/m);
});

test('the printed table fits 120 columns', () => {
  const longest = Math.max(
    ...printStates()
      .split('\n')
      .map((line) => line.length),
  );
  assert(longest <= 120, `${longest} columns`);
});

test('the diagrams show every state', () => {
  for (const diagram of [mermaid(), graphviz()]) {
    for (const state of allStates) assert.match(diagram, new RegExp(`\\b${state}\\b`), state);
  }
});

test('one state as a line says what is possible, and what needs force', () => {
  assert.equal(
    printState('Created'),
    'Created: The VMM is alive, the guest has not been booted. Possible: start, stop, delete (force).',
  );
  assert.match(printState('Cloning'), /Possible: nothing, it passes by itself\.$/);
});
