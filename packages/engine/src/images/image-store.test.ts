import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { isVivError, type Progress } from '@vivarium/model';
import { digestOf } from './digest.ts';
import { Blobs, layoutWith, run, type TestImage, temporaryDirectory } from './fixtures/layout.ts';
import { openStore } from './fixtures/store.ts';
import { type Item, tarOf } from './fixtures/tar-of.ts';
import type { ImageStore } from './store.ts';

const nobody = (): string[] => [];
const shared: Item[] = [{ name: 'shared', content: Buffer.alloc(50_000, 'shared') }];
const one: TestImage = { layers: [shared, [{ name: 'one', content: 'one' }]] };
const two: TestImage = { layers: [shared, [{ name: 'two', content: 'two' }]] };

interface Room extends AsyncDisposable {
  dir: string;
  images: string;
  open(builtin?: Record<string, { path: string; digest: string }>): Promise<ImageStore>;
  /** Imports an image under a name. */
  add(store: ImageStore, image: TestImage, name: string): Promise<string>;
  files(part: string): Promise<string[]>;
}

async function room(): Promise<Room> {
  const temporary = await temporaryDirectory();
  const images = path.join(temporary.dir, 'images');
  let count = 0;
  return {
    dir: temporary.dir,
    images,
    open: (builtin = {}) => openStore({ dir: images, builtin }),
    async add(store, image, name) {
      const { layout } = await layoutWith(path.join(temporary.dir, `layout-${count++}`), image);
      const [stored] = await store.import(layout, { reference: name });
      return stored?.digest ?? '';
    },
    files: (part) => readdir(path.join(images, part)),
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

const squashes = async (here: Room): Promise<string[]> =>
  (await here.files('layers')).filter((name) => name.endsWith('.sqfs'));

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

test('sixty layers make one disk of sixty partitions', async () => {
  await using here = await room();
  const store = await here.open();
  const layers = Array.from({ length: 60 }, (_, at): Item[] => [{ name: 'd/' }, { name: `d/${at}` }]);
  const digest = await here.add(store, { layers }, 'deep');
  const { disk, layers: count } = await store.disk(digest);
  assert.equal(count, 60);
  const flat = path.join(here.dir, 'flat');
  await run('qemu-img', ['convert', '-O', 'raw', disk.path, flat]);
  const { stdout } = await run('partx', ['--show', '--noheadings', '--output', 'NR', flat]);
  assert.equal(stdout.trim().split('\n').length, 60);
});

test('layers below an opaque root are not on the disk, and an image without layers has an empty one', async () => {
  await using here = await room();
  const store = await here.open();
  const digest = await here.add(
    store,
    { layers: [shared, [{ name: '.wh..wh..opq' }, { name: 'new' }], [{ name: 'top' }]] },
    'opaque',
  );
  assert.equal((await store.disk(digest)).layers, 2);
  assert.equal(store.find('opaque')?.layers.length, 3);
  assert.equal((await store.disk(await here.add(store, { layers: [] }, 'scratch'))).layers, 1);
});

test('one layer over different lower ones has a file for each, and layers that are complete have one', async () => {
  await using here = await room();
  const store = await here.open();
  const top: Item[] = [{ name: 'd/f' }];
  const base = (mode: number): Item[] => [{ name: 'd/', mode }];
  await here.add(store, { layers: [base(0o700), top] }, 'a');
  await here.add(store, { layers: [base(0o711), top] }, 'b');
  await here.add(store, { layers: [base(0o711), top, top] }, 'c');
  assert.equal((await squashes(here)).length, 5);
  const modes = await Promise.all(
    (await squashes(here)).map(
      async (name) =>
        (await run('rdsquashfs', ['--describe', path.join(here.images, 'layers', name)])).stdout,
    ),
  );
  assert.equal(modes.filter((listing) => /^dir d 0?700 /m.test(listing)).length, 2);
  const again = await here.open();
  assert.equal(again.list().length, 3, 'all of them are found again');
});

test('a layer that an import counts on survives the removal of the image it came with', async () => {
  await using here = await room();
  const store = await here.open();
  await here.add(store, one, 'one');
  const slow: TestImage = {
    layers: [shared, [{ name: 'large', content: Buffer.alloc(30_000_000, 'x') }]],
    compression: 'none',
  };
  const { layout } = await layoutWith(path.join(here.dir, 'slow'), slow);
  let removal: ReturnType<ImageStore['remove']> | undefined;
  const [image] = await store.import(layout, {
    onProgress: (step) => {
      if (step.stage === 'converting') removal ??= store.remove('one', nobody);
    },
  });
  assert.equal((await removal)?.deleted, true);
  assert.equal((await store.disk(image?.digest ?? '')).layers, 2);
});

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
