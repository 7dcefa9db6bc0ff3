import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { parseEnvironment } from './environment.ts';

let dir = '';
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'viv-env-'));
});
after(() => rmSync(dir, { recursive: true }));

test('a variable is everything up to its first equals sign', () => {
  assert.deepEqual(parseEnvironment(['A=1', 'B=x=y', 'C='], [], {}), { A: '1', B: 'x=y', C: '' });
});

test('a name alone passes on the value it has here, and nothing where it has none', () => {
  assert.deepEqual(parseEnvironment(['HERE', 'GONE'], [], { HERE: 'yes' }), { HERE: 'yes' });
});

test('options win over files, comments and empty lines are skipped, carriage returns are no part of a value', () => {
  const file = path.join(dir, 'env');
  writeFileSync(file, '# comment\r\nA=file\r\n\nB="quoted"\nHERE\n');
  assert.deepEqual(parseEnvironment(['A=option'], [file], { HERE: 'yes' }), {
    A: 'option',
    B: '"quoted"',
    HERE: 'yes',
  });
});

test('a malformed line of a file is named with its place', () => {
  const file = path.join(dir, 'bad');
  writeFileSync(file, 'OK=1\n=oops\n');
  assert.throws(
    () => parseEnvironment([], [file], {}),
    (error) => isVivError(error, 'invalid_request') && error.message.includes('line 2'),
  );
});

test('a missing file is path_not_found', () => {
  assert.throws(
    () => parseEnvironment([], [path.join(dir, 'none')], {}),
    (error) => isVivError(error, 'path_not_found'),
  );
});
