import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { digestOf } from './digest.ts';
import { Blobs, layoutWith, run, type TestImage } from './fixtures/layout.ts';
import { nobody, one, room, shared, squashes, two } from './fixtures/room.ts';
import { tarOf } from './fixtures/tar-of.ts';

test('many imports of one image at a time, with removals between, end with a whole image or none', async () => {
  await using here = await room();
  const store = await here.open();
  const { layout, digest } = await layoutWith(path.join(here.dir, 'l'), one);
  for (let round = 0; round < 10; round++) {
    const work = Array.from({ length: 4 }, (_, at) =>
      store.import(layout, { reference: `n${at}` }).then(() => undefined),
    );
    const removal = store
      .remove(digest, nobody)
      .catch((error) => assert.ok(isVivError(error, 'image_not_found')));
    await Promise.all([...work, removal]).catch((error) =>
      assert.ok(isVivError(error, 'image_not_found'), error),
    );
    if (store.find(digest)) await store.disk(digest);
  }
});

test('giving up an import leaves no file and no process, and the other one of the same layer goes on', async () => {
  await using here = await room();
  const store = await here.open();
  const large: TestImage = {
    layers: [[{ name: 'large', content: Buffer.alloc(30_000_000, 'x') }]],
    compression: 'none',
  };
  const { layout } = await layoutWith(path.join(here.dir, 'l'), large);
  const stop = new AbortController();
  const other = store.import(layout, { reference: 'kept' });
  const given = store.import(layout, {
    signal: stop.signal,
    onProgress: (step) => step.stage === 'converting' && stop.abort(),
  });
  await assert.rejects(given, (error) => isVivError(error, 'cancelled'));
  assert.equal((await other).length, 1);
  assert.deepEqual(await here.files('tmp'), []);

  await store.remove('kept', nobody);
  const alone = new AbortController();
  const aborted = store.import(layout, {
    signal: alone.signal,
    onProgress: (step) => step.stage === 'converting' && alone.abort(),
  });
  await assert.rejects(aborted, (error) => isVivError(error, 'cancelled'));
  assert.deepEqual([await here.files('tmp'), await squashes(here)], [[], []]);
});

test('a tool that finds no space is a full disk, and nothing half-made stays', async () => {
  await using here = await room();
  const store = await here.open();
  const bin = path.join(here.dir, 'bin');
  await mkdir(bin);
  await writeFile(
    path.join(bin, 'tar2sqfs'),
    '#!/bin/sh\nfor f; do :; done\necho half > "$f"\ncat > /dev/null\necho "$f: No space left on device" >&2\nexit 1\n',
  );
  await chmod(path.join(bin, 'tar2sqfs'), 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${bin}:${before}`;
  try {
    await assert.rejects(here.add(store, one, 'one'), (error) => isVivError(error, 'disk_full'));
    process.env.PATH = '/nonexistent';
    await assert.rejects(here.add(store, one, 'one'), (error) => isVivError(error, 'assets_missing'));
  } finally {
    process.env.PATH = before;
  }
  assert.deepEqual(
    [store.list(), await here.files('tmp'), await here.files('layers'), await here.files('manifests')],
    [[], [], [], []],
  );
  assert.equal(
    await here
      .add(store, one, 'one')
      .then((digest) => store.disk(digest))
      .then((disk) => disk.layers),
    2,
  );
});

test('a full file system is told as such and leaves nothing half-made', {
  skip: process.getuid?.() !== 0 && 'mounting needs root',
}, async () => {
  await using here = await room();
  await mkdir(here.images);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', here.images]);
  try {
    const store = await here.open();
    const small = await here.add(store, two, 'small');
    const noise = randomBytes(3_000_000);
    await assert.rejects(
      here.add(store, { layers: [shared, [{ name: 'noise', content: noise }]] }, 'big'),
      (error) => isVivError(error, 'disk_full'),
    );
    assert.deepEqual(
      store.list().map((image) => image.digest),
      [small],
    );
    assert.deepEqual([await here.files('tmp'), (await squashes(here)).length], [[], 2]);
    assert.equal((await store.disk(small)).layers, 2);
  } finally {
    await run('umount', [here.images]);
  }
});

test('a digest of a layer in the configuration that does not fit its bytes is refused', async () => {
  await using here = await room();
  const store = await here.open();
  const lies: TestImage = { ...one, diffIds: [digestOf(tarOf(shared)), digestOf('something else')] };
  await assert.rejects(here.add(store, lies, 'lies'), (error) => isVivError(error, 'image_invalid'));
  const blobs = new Blobs();
  const short = { ...blobs.image(one) };
  await blobs.writeLayout(path.join(here.dir, 'short'), [{ ...short, size: 1 }]);
  assert.deepEqual(store.list(), []);
});
