import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { keyed, prune } from './keyed.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'keyed-'));
});
after(() => rm(dir, { recursive: true }));

test('a result is built once for the same inputs, and again for others', async () => {
  let builds = 0;
  const build = async (into: string): Promise<void> => {
    builds += 1;
    await writeFile(path.join(into, 'file'), `build ${builds}`);
  };
  const first = await keyed(dir, 'thing', { a: 1 }, build);
  assert.equal(await keyed(dir, 'thing', { a: 1 }, build), first);
  assert.equal(await readFile(path.join(first, 'file'), 'utf8'), 'build 1');
  assert.notEqual(await keyed(dir, 'thing', { a: 2 }, build), first);
  assert.equal(builds, 2);
});

test('a build that fails leaves nothing behind', async () => {
  const before = await readdir(dir);
  const failing = keyed(dir, 'bad', {}, async (into) => {
    await writeFile(path.join(into, 'half'), '');
    throw new Error('no');
  });
  await assert.rejects(failing, /no/);
  assert.deepEqual(await readdir(dir), before);
});

test('pruning removes interrupted builds and old results, and keeps what is used, recent or not ours', async () => {
  const names = ['.tmp-x-1', 'x-000000000000', 'x-111111111111', 'x-222222222222', 'somebody-elses'];
  for (const name of names) await mkdir(path.join(dir, name));
  const longAgo = new Date(Date.now() - 48 * 3600 * 1000);
  for (const name of ['x-000000000000', 'x-111111111111', 'somebody-elses']) {
    await utimes(path.join(dir, name), longAgo, longAgo);
  }
  await prune(dir, [path.join(dir, 'x-000000000000', 'file')]);
  const left = await readdir(dir);
  assert.deepEqual(
    names.filter((name) => left.includes(name)),
    ['x-000000000000', 'x-222222222222', 'somebody-elses'],
  );
});
