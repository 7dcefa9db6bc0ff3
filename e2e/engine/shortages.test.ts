import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { openEngine } from '@vivarium/engine';
import { testImage } from '../images/index.ts';
import { processesBelow, RealEngine } from './real-engine.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

describe('a host that lacks something', () => {
  test('without QEMU says so and how to get it, and keeps the instance as it was', async () => {
    await using real = await RealEngine.open();
    const vm = await real.engine.create({ image: 'busybox' });
    const { PATH } = process.env;
    process.env.PATH = '/nowhere';
    try {
      await assert.rejects(
        async () => await vm.start(),
        (error: Error & { code: string; hint: string }) => {
          assert.equal(error.code, 'vmm_missing');
          assert.match(error.hint, /qemu-system-x86/);
          return true;
        },
      );
    } finally {
      process.env.PATH = PATH;
    }
    assert.equal((await vm.refresh()).state, 'Stopped');
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
  });

  test('with a QEMU that is too old says which it found and which it needs', async () => {
    await using real = await RealEngine.open();
    const vm = await real.engine.create({ image: 'busybox' });
    const bin = path.join(real.home, 'bin');
    await mkdir(bin);
    await writeFile(
      path.join(bin, 'qemu-system-x86_64'),
      '#!/bin/sh\necho "QEMU emulator version 5.2.0 (Debian 1:5.2)"\n',
    );
    await chmod(path.join(bin, 'qemu-system-x86_64'), 0o755);
    const { PATH } = process.env;
    process.env.PATH = `${bin}:${PATH}`;
    try {
      await assert.rejects(
        async () => await vm.start(),
        (error: Error & { code: string }) => {
          assert.equal(error.code, 'vmm_missing');
          assert.match(error.message, /5\.2\.0/);
          return true;
        },
      );
    } finally {
      process.env.PATH = PATH;
    }
  });

  test('whose disk is full refuses pull, import and create as such, and has nothing half-made', {
    skip: isRoot ? false : 'a small file system is mounted, which only root may',
  }, async () => {
    const home = await mkdtemp(path.join(tmpdir(), 'full-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'viv-test', home]);
    try {
      await using engine = await openEngine({ home });
      const free = async () =>
        Number((await run('df', ['--output=avail', '-B1', home])).stdout.split('\n')[1]);
      const before = await free();
      const full = { code: 'disk_full' };
      await writeFile(path.join(home, 'ballast'), Buffer.alloc(Math.max(0, before - 900_000)));
      await assert.rejects(async () => await engine.images.pull('busybox'), full);
      await assert.rejects(async () => await engine.create({ image: 'busybox' }), full);
      await assert.rejects(async () => await engine.run('busybox'), full);
      await rm(path.join(home, 'ballast'));
      await assert.rejects(async () => await engine.images.import(await testImage('debian')), full);
      assert.deepEqual((await engine.list()).items, []);
      assert.deepEqual(await engine.images.list(), []);
      assert.deepEqual(await readdir(path.join(home, 'instances')), []);
      const left = await free();
      assert.ok(left > before - 300_000, `${before - left} bytes were left behind`);
      // The same directory works again once there is room.
      await using vm = await engine.create({ image: 'busybox', disk: '64MB' });
      assert.equal(vm.info.state, 'Stopped');
    } finally {
      await run('umount', [home]);
      await rm(home, { recursive: true });
    }
  });

  test('whose file system fills up below a running VM pauses it, and it goes on once there is room', {
    skip: isRoot ? false : 'a small file system is mounted, which only root may',
  }, async () => {
    const home = await mkdtemp(path.join(tmpdir(), 'full-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=48m,mode=700', 'viv-test', home]);
    try {
      // A template that is being made takes room, and gives it back when it finds too little.
      await using engine = await openEngine({ home, templates: { backgroundDelayMs: 3_600_000 } });
      const ballast = path.join(home, 'ballast');
      await writeFile(ballast, Buffer.alloc(36 << 20));
      const other = await engine.run('busybox', { disk: '200MB' });
      const vm = await engine.run('busybox', { disk: '200MB' });
      const script = 'dd if=/dev/urandom of=/fill bs=1M count=20 2>/dev/null; sync; wc -c < /fill';
      const writing = vm.exec(['sh', '-c', script]);
      await writing.id;
      await vm.waitFor('Paused');
      await assert.rejects(async () => await engine.create({ image: 'busybox' }), { code: 'disk_full' });
      // What makes room must not need any.
      await other.delete({ force: true });
      await rm(ballast);
      await vm.resume();
      assert.equal((await writing).stdout, `${20 << 20}\n`);
      await vm.delete({ force: true });
      assert.deepEqual(await processesBelow(home), []);
      assert.deepEqual(await readdir(path.join(home, 'instances')), []);
    } finally {
      await run('umount', [home]);
      await rm(home, { recursive: true });
    }
  });
});
