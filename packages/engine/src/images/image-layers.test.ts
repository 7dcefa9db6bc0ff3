import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { layoutWith, run, type TestImage } from './fixtures/layout.ts';
import { nobody, one, room, shared, squashes } from './fixtures/room.ts';
import type { Item } from './fixtures/tar-of.ts';
import type { ImageStore } from './store.ts';

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
