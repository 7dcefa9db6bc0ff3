import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError, type Progress } from '@vivarium/model';
import { layoutWith, run } from './fixtures/layout.ts';
import { nobody, one, room, squashes, two } from './fixtures/room.ts';

test('a built-in image comes without a registry when it is asked for first, and once for many', async () => {
  await using here = await room();
  const { layout, digest } = await layoutWith(path.join(here.dir, 'l'), one);
  const archive = path.join(here.dir, 'busybox.tar');
  await run('tar', ['-C', layout, '-cf', archive, '.']);
  const store = await here.open({ 'docker.io/library/busybox:latest': { path: archive, digest } });
  assert.deepEqual(store.list(), []);
  await assert.rejects(store.ensure('busybox', 'never'), (error) => isVivError(error, 'image_not_found'));
  const seen: Progress[][] = [[], [], []];
  const all = await Promise.all(
    seen.map((list) => store.ensure('busybox', 'missing', { onProgress: (step) => list.push(step) })),
  );
  assert.deepEqual(
    all.map((image) => image.digest),
    [digest, digest, digest],
  );
  assert.equal(
    seen[0]?.filter((step) => step.stage === 'converting' && step.done).length,
    2,
    'each layer was converted once',
  );
  assert.equal(seen[2]?.at(-1)?.stage, 'image-ready', 'all hear how it goes');
  assert.equal((await store.ensure('busybox', 'never')).digest, digest);
});

test('an image is found by its names, its digest, and the beginning of its digest', async () => {
  await using here = await room();
  const store = await here.open();
  const digest = await here.add(store, one, 'localhost:5000/app:1');
  await store.tag('localhost:5000/app:1', 'other');
  for (const name of [
    'localhost:5000/app:1',
    'other',
    'docker.io/library/other',
    digest,
    digest.slice(7),
    digest.slice(0, 12),
    digest.slice(7, 11),
    `anything@${digest}`,
  ]) {
    assert.equal(store.find(name)?.digest, digest, name);
  }
  for (const name of ['app', 'other:2', digest.slice(7, 10), 'sha256:0000'])
    assert.equal(store.find(name), undefined, name);
  assert.throws(
    () => store.find('No Such'),
    (error) => isVivError(error, 'invalid_reference'),
  );
  assert.deepEqual(store.find(digest)?.references.toSorted(), [
    'docker.io/library/other:latest',
    'localhost:5000/app:1',
  ]);
});

test('removing an image frees what no other image has, and nothing else', async () => {
  await using here = await room();
  const store = await here.open();
  const first = await here.add(store, one, 'one');
  const second = await here.add(store, two, 'two');
  assert.equal((await squashes(here)).length, 3, 'the shared layer is there once');
  const { size } = await stat((await store.disk(first)).disk.path);
  assert.ok(size > 0);
  const removed = await store.remove('one', nobody);
  assert.deepEqual(
    [removed.digest, removed.untagged, removed.deleted],
    [first, ['docker.io/library/one:latest'], true],
  );
  assert.equal(removed.freedBytes, 4096);
  assert.equal((await squashes(here)).length, 2);
  await run('qemu-img', [
    'convert',
    '-O',
    'raw',
    (await store.disk(second)).disk.path,
    path.join(here.dir, 'flat'),
  ]);
  await assert.rejects(store.remove('one', nobody), (error) => isVivError(error, 'image_not_found'));
  await store.remove(second, nobody);
  assert.deepEqual([await here.files('layers'), await here.files('manifests'), store.list()], [[], [], []]);
});

test('an image in use keeps its last name and its layers; another name of it can go', async () => {
  await using here = await room();
  const store = await here.open();
  const digest = await here.add(store, one, 'one');
  await store.tag('one', 'alias');
  const inUse = (of: string): string[] => (of === digest ? ['web'] : []);
  assert.deepEqual(await store.remove('alias', inUse), {
    digest,
    untagged: ['docker.io/library/alias:latest'],
    deleted: false,
    freedBytes: 0,
  });
  for (const name of ['one', digest]) {
    await assert.rejects(
      store.remove(name, inUse),
      (error) => isVivError(error, 'conflict') && /web/.test(error.message),
    );
  }
  assert.equal(store.find('one')?.digest, digest);
});

test('a name moves to the image that was imported last; the other keeps its digest', async () => {
  await using here = await room();
  const store = await here.open();
  const first = await here.add(store, one, 'app');
  const second = await here.add(store, two, 'app');
  assert.equal(store.find('app')?.digest, second);
  assert.deepEqual(store.find(first)?.references, []);
});

test('tags are an image’s own, are seen by the next process, and go with it', async () => {
  await using here = await room();
  const store = await here.open();
  const digest = await here.add(store, one, 'one');
  assert.equal(store.find('one')?.tags, undefined);
  assert.deepEqual((await store.label(digest, { team: 'be' })).tags, { team: 'be' });
  const next = await here.open();
  assert.deepEqual(next.find('one')?.tags, { team: 'be' });
  assert.equal((await next.label(digest, {})).tags, undefined);
  await next.label(digest, { team: 'fe' });
  await next.remove('one', () => []);
  await here.add(next, one, 'one');
  assert.equal(next.find('one')?.tags, undefined);
});

test('another process sees the same images', async () => {
  await using here = await room();
  const digest = await here.add(await here.open(), one, 'one');
  const again = await here.open();
  assert.deepEqual(
    again.list().map((image) => image.digest),
    [digest],
  );
  assert.equal((await again.disk(digest)).layers, 2);
});

test('what a crash left is cleared away, images and fetched parts of layers stay', async () => {
  await using here = await room();
  const digest = await here.add(await here.open(), one, 'one');
  const orphan = 'ab'.repeat(32);
  await writeFile(path.join(here.images, 'tmp/layer-1'), 'half');
  await writeFile(path.join(here.images, `layers/${orphan}.sqfs`), 'no image has it');
  await writeFile(path.join(here.images, `layers/${orphan}.json`), '{"opaque":[]}');
  await writeFile(path.join(here.images, 'layers/x.json.new'), 'half');
  await mkdir(path.join(here.images, 'manifests', orphan));
  await writeFile(path.join(here.images, 'index.json.new'), '{"format":1,"refer');
  await writeFile(path.join(here.images, `blobs/${orphan}.partial`), 'recent');
  await writeFile(path.join(here.images, 'blobs/old.partial'), 'old');
  await utimes(path.join(here.images, 'blobs/old.partial'), 1, 1);
  const store = await here.open();
  assert.equal(store.find('one')?.digest, digest);
  assert.deepEqual(await here.files('tmp'), []);
  assert.deepEqual(await here.files('blobs'), [`${orphan}.partial`]);
  assert.deepEqual(await here.files('manifests'), [digest.slice(7)]);
  assert.equal((await squashes(here)).length, 2);
  assert.ok(!(await readdir(here.images)).includes('index.json.new'));
});

test('an index that cannot be read stops the start and loses nothing', async () => {
  await using here = await room();
  await here.add(await here.open(), one, 'one');
  const index = path.join(here.images, 'index.json');
  const good = await readFile(index);
  await writeFile(index, good.subarray(0, 20));
  await assert.rejects(
    here.open(),
    (error) => isVivError(error, 'internal') && /index\.json/.test(error.message),
  );
  assert.equal((await squashes(here)).length, 2, 'the layers are still there');
  await writeFile(index, good);
  assert.equal((await here.open()).list().length, 1);
});

test('a layer that somebody deleted is told, and importing the image again repairs it', async () => {
  await using here = await room();
  const store = await here.open();
  const digest = await here.add(store, one, 'one');
  const [layer = ''] = await squashes(here);
  await rm(path.join(here.images, 'layers', layer));
  await assert.rejects(store.disk(digest), (error) => isVivError(error, 'image_invalid'));
  assert.equal(await here.add(store, one, 'one'), digest);
  assert.equal((await store.disk(digest)).layers, 2);
});
