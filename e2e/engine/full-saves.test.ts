import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, stat, statfs, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Engine, openEngine } from '@vivarium/engine';
import type { Vm } from '@vivarium/model';
import { processesBelow, until } from './real-engine.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const KiB = 1024;

/** Counts in memory: nothing of it goes to the disk. */
const counting = [
  'sh',
  '-c',
  'i=0; while :; do i=$((i+1)); echo $i > /dev/next; mv /dev/next /dev/count; sleep 0.05; done',
];

describe('a disk that is full while a VM is saved', {
  skip: isRoot ? false : 'a small file system is mounted, which only root may',
}, () => {
  let home: string;
  let image: string;
  let engine: Engine;
  let vm: Vm;
  before(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'full-'));
    image = `${home}.img`;
    // No tmpfs: there a mapped memory file wants room where it is only read.
    await writeFile(image, '');
    await truncate(image, 700 * KiB * KiB);
    await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    await run('mount', ['-o', 'loop', image, home]);
    engine = await openEngine({ home, templates: { backgroundDelayMs: 600_000 } });
    vm = await engine.run('busybox', { cmd: counting });
  });
  after(async () => {
    await engine.close();
    await run('umount', [home]);
    await rm(home, { recursive: true });
    await rm(image);
  });

  const countOf = async (): Promise<number> => Number((await vm.exec(['cat', '/dev/count'])).stdout);

  const ways: [name: string, save: () => Promise<unknown>][] = [
    ['suspend', async () => await vm.suspend()],
    ['snapshot', async () => await vm.snapshots.create()],
    ['fork', async () => await vm.fork()],
  ];

  /** Files of saved states and disks, wherever they lie. The top of a disk keeps the name that it was given for when it is no longer the top. */
  const files = async (): Promise<string[]> => {
    const names = (await readdir(home, { recursive: true })).filter((name) =>
      /^(instances|snapshots|captures)\//.test(name),
    );
    const inode = async (name: string) => (await stat(path.join(home, name))).ino;
    const tops = new Set(await Promise.all(names.filter((name) => name.endsWith('/root.qcow2')).map(inode)));
    const kept: string[] = [];
    for (const name of names.sort())
      if (!/root\.[0-9a-f]+\.qcow2$/.test(name) || !tops.has(await inode(name))) kept.push(name);
    return kept;
  };

  const leave = async (bytes: number): Promise<void> => {
    await run('sync', ['-f', home]); // what has been promised room, and has none yet, takes it
    const { bavail, bsize } = await statfs(home);
    await run('fallocate', ['-l', String(bavail * bsize - bytes), path.join(home, 'ballast')]);
  };

  const refusedWith = async (bytes: number): Promise<void> => {
    for (const [name, save] of ways) {
      const before = await files();
      await leave(bytes);
      await assert.rejects(save(), { code: 'disk_full' }, `${name} with ${bytes} bytes left`);
      await rm(path.join(home, 'ballast'));
      assert.deepEqual(await files(), before, name);
      assert.equal((await vm.refresh()).state, 'Running');
      const count = await countOf();
      await until(`it counts after ${name}`, async () => (await countOf()) > count);
    }
  };

  test('refuses it as such, leaves nothing, and the VM runs on, with a delta', async () => {
    for (const bytes of [100 * KiB, 2000 * KiB]) await refusedWith(bytes);
  });

  test('refuses it as such, leaves nothing, and the VM runs on, with all of its memory', async () => {
    await vm.stop();
    await vm.start({ cold: true });
    for (const bytes of [100 * KiB, 20_000 * KiB]) await refusedWith(bytes);
  });

  test('takes it once there is room, twice from a paused VM too', async () => {
    const count = await countOf();
    await vm.pause();
    const [first, second] = [await vm.snapshots.create(), await vm.snapshots.create()];
    assert.ok(first.hasMemory && second.hasMemory);
    await vm.resume();
    await until('it counts', async () => (await countOf()) > count);
    for (const copy of await vm.fork()) await copy.delete({ force: true });
    await vm.suspend();
    await vm.start();
    assert.ok((await countOf()) > count);
    await vm.delete({ force: true });
    assert.deepEqual(await processesBelow(home), []);
  });
});
