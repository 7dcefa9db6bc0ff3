import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { isVivError } from '@vivarium/model';
import { DiskRoom, holds, strays, write } from './fixtures/disk-room.ts';
import {
  abandonLayer,
  baseDisk,
  commitLayer,
  dropTop,
  flattenRoot,
  growRootDisk,
  isTopNew,
  minimumRootBytes,
  newLayerFor,
  rootDiskInfo,
  rootLayers,
  settleLayer,
  shareLayers,
} from './index.ts';
import { writeEmptyQcow2 } from './qcow2.ts';

const run = promisify(execFile);
const top = (dir: string) => path.join(dir, 'root.qcow2');
const mode = async (file: string) => (await stat(file)).mode & 0o777;
const inode = async (file: string) => (await stat(file)).ino;

async function addLayer(dir: string): Promise<{ next: string; frozen: string }> {
  const made = await newLayerFor(dir);
  await commitLayer(dir);
  return made;
}

describe('an empty overlay', () => {
  test('of any size is one that QEMU reads, writes and grows', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.dir('vm');
    for (const bytes of [minimumRootBytes, 1024 ** 3 + 512, 10 * 1024 ** 3, 16 * 1024 ** 4]) {
      const backing = path.join(dir, 'below.qcow2');
      const file = path.join(dir, `${bytes}.qcow2`);
      await rm(backing, { force: true });
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', backing, String(bytes)]);
      const name = 'below.qcow2';
      await writeEmptyQcow2(file, { bytes, backing: { name, format: 'qcow2' }, durable: true });
      const info = JSON.parse((await run('qemu-img', ['info', '--output=json', file])).stdout);
      assert.equal(info['virtual-size'], bytes);
      assert.equal(info['backing-filename'], name);
      assert.equal(info['backing-filename-format'], 'qcow2');
      assert.equal(info['format-specific'].data['lazy-refcounts'], false);
      assert.ok((await stat(file)).blocks * 512 < 64 * 1024, 'it is a hole for the most part');
      await run('qemu-img', ['check', '-q', file]);
      const last = bytes - 65_536;
      await run('qemu-io', ['-c', `write -P 7 ${last} 64k`, '-c', `read -P 7 ${last} 64k`, file]);
      await run('qemu-img', ['resize', '-q', file, '+1G']);
      await run('qemu-img', ['check', '-q', file]);
    }
  });
});

describe('a root disk in layers', () => {
  test('has a new top until something is written to it, and none where that is larger or what is below can be written', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    assert.equal(await isTopNew(dir), true, 'over its base');
    await write(top(dir), 0, 1);
    assert.equal(await isTopNew(dir), false);
    const { frozen } = await addLayer(dir);
    assert.equal(await isTopNew(dir), true);
    await run('qemu-io', ['-f', 'qcow2', '-c', 'read 0 64k', '-c', 'flush', top(dir)]);
    assert.equal(await isTopNew(dir), true, 'it was only read');
    await chmod(frozen, 0o600);
    assert.equal(await isTopNew(dir), false);
    await chmod(frozen, 0o400);
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -z 1M 64k', top(dir)]);
    assert.equal(await isTopNew(dir), false, 'zeroes are something');
    await dropTop(dir);
    assert.equal(await isTopNew(dir), true);
    await growRootDisk(top(dir), minimumRootBytes * 2);
    assert.equal(await isTopNew(dir), false);
    await addLayer(dir);
    await shareLayers(dir, await room.dir('instances', 'b'), { top: 'share' });
    assert.equal(await isTopNew(dir), false, 'it is shared');
  });

  test('keeps in the frozen layer what was there, and takes what comes in the new top', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    await write(top(dir), 0, 1);
    const first = await addLayer(dir);
    await write(top(dir), 1, 2);
    const second = await addLayer(dir);
    assert.deepEqual(await rootLayers(dir), [
      'root.qcow2',
      path.basename(second.frozen),
      path.basename(first.frozen),
    ]);
    assert.equal(second.frozen, first.next, 'a layer keeps its name');
    assert.equal(await mode(second.frozen), 0o400);
    assert.equal(await mode(top(dir)), 0o600);
    await holds(dir, new Map([[0, 1]]), path.basename(first.frozen));
    await holds(
      dir,
      new Map([
        [0, 1],
        [1, 2],
      ]),
    );
    assert.deepEqual(await strays(dir), []);
  });

  test('is what it was when the new layer is abandoned', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    const { next } = await newLayerFor(dir);
    await assert.rejects(newLayerFor(dir), (error) => isVivError(error, 'conflict'));
    await abandonLayer(dir);
    await abandonLayer(dir);
    assert.deepEqual(await rootLayers(dir), ['root.qcow2']);
    await assert.rejects(stat(next));
    await write(top(dir), 0, 3);
    await commitLayer(dir);
    await holds(dir, new Map([[0, 3]]));
    assert.equal(await mode(top(dir)), 0o600);
  });

  test('has the layer that the VMM writes to as its top after a kill', async () => {
    await using room = await DiskRoom.open();
    for (const [name, switched, alive] of [
      ['a', true, true],
      ['b', false, true],
      ['c', true, false],
      ['d', false, false],
    ] as const) {
      const dir = await room.disk('instances', name);
      await write(top(dir), 0, 1);
      const { next } = await newLayerFor(dir);
      const live = switched ? next : top(dir);
      await write(live, 1, 2);
      for (let times = 0; times < 2; times++) await settleLayer(dir, alive ? live : undefined);
      const content = new Map([
        [0, 1],
        [1, 2],
      ]);
      await holds(dir, content);
      assert.equal((await rootLayers(dir)).length, switched || !alive ? 2 : 1, name);
      assert.deepEqual(await strays(dir), []);
    }
  });

  test('is shared with directories of any depth, which outlive it', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    await write(top(dir), 0, 1);
    const { frozen } = await addLayer(dir);
    await write(top(dir), 0, 9);
    const saved = await room.dir('instances', 'a', 'saved');
    const clone = await room.dir('instances', 'b');
    await shareLayers(dir, saved, { top: 'new' });
    await shareLayers(saved, clone, { top: 'new' });
    assert.equal(await inode(path.join(clone, path.basename(frozen))), await inode(frozen));
    await write(top(clone), 1, 5);
    await holds(saved, new Map([[0, 1]]));
    await rename(saved, path.join(room.home, 'elsewhere'));
    await rm(dir, { recursive: true });
    await rm(room.bases, { recursive: true });
    await holds(path.join(room.home, 'elsewhere'), new Map([[0, 1]]));
    const content = new Map([
      [0, 1],
      [1, 5],
    ]);
    await holds(clone, content);
  });

  test('is shared before a VMM goes over to its new top, with what is written until then', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    await write(top(dir), 0, 1);
    await addLayer(dir);
    await write(top(dir), 1, 2);
    const { frozen } = await newLayerFor(dir);
    const [saved, clone] = [await room.dir('captures', 's'), await room.dir('instances', 'b')];
    await shareLayers(dir, saved, { top: 'prepared' });
    await shareLayers(saved, clone, { top: 'new' });
    assert.equal(await inode(path.join(clone, path.basename(frozen))), await inode(top(dir)));
    await write(top(dir), 2, 3);
    await commitLayer(dir);
    await write(top(dir), 0, 9);
    const content = new Map([
      [0, 1],
      [1, 2],
      [2, 3],
    ]);
    for (const each of [saved, clone]) {
      await holds(each, content);
      assert.deepEqual(await strays(each), []);
      assert.equal(await mode(path.join(each, path.basename(frozen))), 0o400);
    }
    await write(top(clone), 1, 7);
    await holds(dir, new Map([...content, [0, 9]]));
  });

  test('that is shared with its top loses nothing of it, here or there', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    await write(top(dir), 0, 1);
    const saved = await room.dir('snapshots', 's');
    await shareLayers(dir, saved, { top: 'share' });
    await shareLayers(dir, saved, { top: 'share' });
    assert.equal(await inode(top(saved)), await inode(top(dir)));
    assert.equal(await mode(top(saved)), 0o400);
    const clone = await room.dir('instances', 'b');
    await shareLayers(saved, clone, { top: 'new' });
    await holds(clone, new Map([[0, 1]]));
    await dropTop(dir);
    await write(top(dir), 0, 2);
    await holds(dir, new Map([[0, 2]]));
    await dropTop(dir);
    for (const each of [dir, saved, clone]) await holds(each, new Map([[0, 1]]));
    for (const each of [dir, saved, clone]) assert.deepEqual(await strays(each), []);
  });

  test('gives up its top, down to the empty file system', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    await write(top(dir), 0, 1);
    await dropTop(dir);
    await holds(dir, new Map());
    assert.equal((await readdir(dir)).length, 3, 'the top by both its names, and the base');
  });

  test('takes the place of another one of the same instance', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    await write(top(dir), 0, 1);
    await addLayer(dir);
    const snapshot = await room.dir('snapshots', 's');
    await shareLayers(dir, snapshot, { top: 'new' });
    await write(top(dir), 0, 2);
    await addLayer(dir);
    await shareLayers(snapshot, dir, { top: 'new' });
    await holds(dir, new Map([[0, 1]]));
    assert.deepEqual(await strays(dir), []);
  });

  test('grows at its top, and a share is as large as what it shares', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    await addLayer(dir);
    await growRootDisk(top(dir), 4 * minimumRootBytes);
    const [clone, bare] = [await room.dir('instances', 'b'), await room.dir('instances', 'c')];
    await shareLayers(dir, bare, { top: 'new' });
    assert.equal((await rootDiskInfo(top(bare))).bytes, minimumRootBytes);
    await addLayer(dir);
    await shareLayers(dir, clone, { top: 'new' });
    assert.equal((await rootDiskInfo(top(clone))).bytes, 4 * minimumRootBytes);
    await holds(clone, new Map());
  });

  test('is merged when it has many layers, and others keep theirs', async () => {
    await using room = await DiskRoom.open();
    const dir = await room.disk('instances', 'a');
    const content = new Map<number, number>();
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 9 40M 8M', top(dir)]);
    for (let byte = 1; byte <= 9; byte++) {
      content.set(byte % 4, byte);
      await write(top(dir), byte % 4, byte);
      await addLayer(dir);
    }
    const before = await rootLayers(dir);
    const clone = await room.dir('instances', 'b');
    await shareLayers(dir, clone, { top: 'new' });
    const lowest = await readFile(path.join(clone, before.at(-1) ?? ''));
    await write(top(dir), 0, 77);
    assert.equal(await flattenRoot(dir, { maxLayers: 9 }), false);
    assert.equal(await flattenRoot(dir), true);
    assert.equal((await rootLayers(dir)).length, 3);
    assert.equal((await rootLayers(dir)).at(-1), before.at(-1));
    await holds(dir, new Map(content).set(0, 77));
    await holds(clone, content);
    assert.equal(await flattenRoot(dir, { maxLayers: 0 }), true);
    assert.equal((await rootLayers(dir)).length, 2);
    await dropTop(dir);
    await holds(dir, new Map(content).set(0, 77));
    assert.deepEqual(await readFile(path.join(clone, before.at(-1) ?? '')), lowest);
    assert.deepEqual(await strays(dir), []);
  });

  test('that was made over a base outside its directory goes on working, and can be shared', async () => {
    await using room = await DiskRoom.open();
    const [dir, clone] = [await room.dir('instances', 'a'), await room.dir('instances', 'a', 'saved')];
    const base = path.basename(await baseDisk(room.bases, minimumRootBytes));
    const backing = `../../disks/${base}`;
    const argv = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', backing, top(dir)];
    await run('qemu-img', argv);
    await write(top(dir), 0, 1);
    await holds(dir, new Map([[0, 1]]));
    await addLayer(dir);
    await shareLayers(dir, clone, { top: 'new' });
    await rm(room.bases, { recursive: true });
    await holds(dir, new Map([[0, 1]]));
    await holds(clone, new Map([[0, 1]]));
  });

  test('whose layers lie on another file system is copied', async () => {
    await using room = await DiskRoom.open();
    const far = '/dev/shm';
    assert.notEqual((await stat(far)).dev, (await stat(room.home)).dev);
    await using there = await DiskRoom.open(far);
    const dir = await room.disk('instances', 'a');
    await write(top(dir), 0, 1);
    const copy = await there.dir('b');
    // What is written to is no copy's.
    await newLayerFor(dir);
    await assert.rejects(shareLayers(dir, copy, { top: 'prepared' }), (e) => isVivError(e, 'not_supported'));
    await commitLayer(dir);
    await shareLayers(dir, copy, { top: 'new' });
    await rm(dir, { recursive: true });
    await holds(copy, new Map([[0, 1]]));
    assert.equal(await mode(path.join(copy, (await rootLayers(copy))[1] ?? '')), 0o400);
    assert.ok((await stat(path.join(copy, 'root.base.raw'))).blocks * 512 < minimumRootBytes / 2, 'sparse');
  });
});
