import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isInstalledAsLocked } from './npm.ts';

let root: string;
before(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'npm-'));
  await mkdir(path.join(root, 'node_modules'));
});
after(() => rm(root, { recursive: true }));

const locked = {
  '': {},
  'packages/a': { version: '1.0.0' },
  'node_modules/a': { link: true },
  'node_modules/b': { version: '2.0.0' },
  'node_modules/b-other-platform': { version: '2.0.0', optional: true },
};

async function isDone(installed: object): Promise<boolean> {
  await writeFile(path.join(root, 'package-lock.json'), JSON.stringify({ packages: locked }));
  await writeFile(
    path.join(root, 'node_modules/.package-lock.json'),
    JSON.stringify({ packages: installed }),
  );
  return await isInstalledAsLocked(root);
}

test('what npm has completed is not installed again, platform packages aside', async () => {
  assert.equal(await isInstalledAsLocked(root), false);
  const { 'node_modules/b-other-platform': _, ...installed } = locked;
  assert.equal(await isDone(installed), true);
});

test('a package that is missing, older, or no link any more is installed', async () => {
  assert.equal(await isDone({ 'node_modules/a': { link: true } }), false);
  assert.equal(await isDone({ ...locked, 'node_modules/b': { version: '1.9.0' } }), false);
  assert.equal(await isDone({ ...locked, 'node_modules/a': { version: '1.0.0' } }), false);
});
