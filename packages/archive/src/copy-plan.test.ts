import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { nameRoot, planCopy, type Source, sourceOf, type Target } from './index.ts';

const file: Source = { name: 'f', directory: false, contents: false };
const tree: Source = { name: 'd', directory: true, contents: false };
const contents: Source = { name: 'd', directory: true, contents: true };

const landings: [string, Source, Target, string][] = [
  ['a file becomes a missing name', file, { path: '/a/g', existing: undefined }, '/a|g'],
  ['a file replaces a file', file, { path: '/a/g', existing: 'file' }, '/a|g'],
  ['a file goes into a directory', file, { path: '/a', existing: 'directory' }, '/a|f'],
  ['a directory becomes a missing name', tree, { path: '/a/e', existing: undefined }, '/a|e'],
  ['a directory becomes a missing name with a slash', tree, { path: '/a/e/', existing: undefined }, '/a|e'],
  ['a directory goes into a directory', tree, { path: '/a/', existing: 'directory' }, '/a|d'],
  ['contents go into a directory', contents, { path: '/a', existing: 'directory' }, '/a|.'],
  ['contents become a missing name', contents, { path: '/a/e', existing: undefined }, '/a|e'],
  ['relative targets stay relative', file, { path: 'g', existing: undefined }, '.|g'],
  ['the root is a directory like any other', file, { path: '/', existing: 'directory' }, '/|f'],
];
for (const [what, source, target, landing] of landings) {
  test(what, () => {
    const plan = planCopy(source, target);
    assert.equal(`${plan.directory}|${plan.name}`, landing);
  });
}

test('a directory onto a file, and a file into a directory that is missing, are refused', () => {
  assert.throws(
    () => planCopy(tree, { path: '/a/g', existing: 'file' }),
    (e) => isVivError(e, 'conflict'),
  );
  assert.throws(
    () => planCopy(file, { path: '/a/g/', existing: 'file' }),
    (e) => isVivError(e, 'conflict'),
  );
  assert.throws(
    () => planCopy(file, { path: '/a/g/', existing: undefined }),
    (e) => isVivError(e, 'path_not_found'),
  );
});

test('a source path says what it is called and whether only its contents are meant', () => {
  assert.deepEqual(sourceOf('/a/d/'), { path: '/a/d', name: 'd', contents: false });
  assert.deepEqual(sourceOf('/a/d/.'), { path: '/a/d', name: 'd', contents: true });
  assert.deepEqual(sourceOf('.'), { path: '.', name: '', contents: true });
  assert.deepEqual(sourceOf('/'), { path: '/', name: '', contents: false });
});

test('the root of an archive is renamed, and an entry outside of it refused', () => {
  assert.equal(nameRoot('d/x/', 'd', 'e'), 'e/x/');
  assert.equal(nameRoot('d/', 'd', 'e'), 'e');
  assert.equal(nameRoot('d/x', 'd', '.'), 'x');
  assert.equal(nameRoot('./x', '', 'e'), 'e/x');
  assert.throws(
    () => nameRoot('dd/x', 'd', 'e'),
    (e) => isVivError(e, 'archive_hostile'),
  );
});
