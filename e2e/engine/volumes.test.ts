import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Engine, openEngine } from '@vivarium/engine';
import type { Vm } from '@vivarium/model';
import { processesBelow, RealEngine, until } from './real-engine.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
const MiB = 1024 ** 2;

const said = async (vm: Vm, command: string): Promise<string> =>
  (await vm.exec(['sh', '-c', command])).stdout.trim();

/** A tar.gz of a directory that a shell has filled. */
async function archiveOf(fill: string): Promise<AsyncIterable<Uint8Array>> {
  const dir = await mkdtemp(path.join(tmpdir(), 'vol-'));
  try {
    await run('sh', ['-c', fill], { cwd: dir });
    const { stdout } = await run('tar', ['-cz', '--numeric-owner', '-C', dir, '.'], {
      encoding: 'buffer',
      maxBuffer: 256 * MiB,
    });
    return (async function* () {
      yield stdout;
    })();
  } finally {
    await rm(dir, { recursive: true });
  }
}

describe('a volume in a real VM', () => {
  let real: RealEngine;
  before(async () => {
    real = await RealEngine.open({ templates: { backgroundDelayMs: 600_000 } });
  });
  after(async () => {
    for await (const { id } of real.engine.all()) await (await real.engine.get(id)).delete({ force: true });
    for (const { id } of await real.engine.volumes.list()) await real.engine.volumes.remove(id);
    assert.deepEqual(await readdir(path.join(real.home, 'volumes')), []);
    await real[Symbol.asyncDispose]();
  });

  test('that comes later shows up in what runs already, and names it when it is to go', async () => {
    const { volumes } = real.engine;
    await volumes.create({ name: 'late', size: '64MB' });
    const cmd = [
      'sh',
      '-c',
      'until mount | grep -q " /data type ext4"; do sleep 0.05; done; cd /data; while :; do date > seen; sleep 0.05; done',
    ];
    await using vm = await real.engine.run('busybox', { cmd });
    await vm.volumes.attach({ volume: 'late', path: '/data' });
    await until('it writes to the volume', async () => (await said(vm, 'cat /data/seen')) !== '');
    await assert.rejects(vm.volumes.detach('late'), (error: Error) => {
      assert.match(error.message, /\/data is in use by .*\(pid \d+\)/);
      return true;
    });
    assert.notEqual(await said(vm, 'cat /data/seen'), '', 'it is where it was');
    assert.equal((await vm.volumes.detach('late', { force: true })).volumes, undefined);
    assert.equal(await said(vm, 'ls /data; mount | grep /data'), '');
    await vm.volumes.attach({ volume: 'late', path: '/other' });
    assert.notEqual(await said(vm, 'cat /other/seen'), '');
    await vm.volumes.detach('late');
  });

  test('that comes from an archive has its owners, modes and links', async () => {
    const fill =
      'mkdir -p a/b; echo content > a/b/file; chmod 4751 a/b/file; ln a/b/file hard; ln -s a/b/file soft' +
      (isRoot ? '; chown 1234:5678 a/b/file' : '');
    await real.engine.volumes.import(await archiveOf(fill), { name: 'site', size: '64MB' });
    await using vm = await real.engine.run('busybox', {
      volumes: [{ volume: 'site', path: '/srv/site', mode: 'ro' }],
    });
    const owner = isRoot ? '1234 5678' : await said(vm, 'stat -c "%u %g" /srv/site/a/b/file');
    assert.equal(await said(vm, 'stat -c "%a %u %g %h" /srv/site/a/b/file'), `4751 ${owner} 2`);
    assert.equal(
      await said(vm, 'readlink /srv/site/soft; cat /srv/site/soft /srv/site/hard'),
      'a/b/file\ncontent\ncontent',
    );
    assert.match(await said(vm, 'touch /srv/site/x 2>&1'), /Read-only file system/);
    assert.equal(await said(vm, 'ls /srv/site'), 'a\nhard\nsoft');
  });

  test('whose writer was killed is whole for the next one, also where that only reads', async () => {
    await real.engine.volumes.create({ name: 'crash', size: '64MB' });
    await using vm = await real.engine.run('busybox', {
      volumes: [{ volume: 'crash', path: '/data' }],
      cmd: ['sh', '-c', 'i=0; while :; do i=$((i+1)); mkdir /data/$i; echo $i > /data/$i/n; done'],
    });
    await vm.exec(['sh', '-c', 'echo safe > /data/safe; sync']);
    await until('it has written much', async () => Number(await said(vm, 'ls /data | wc -l')) > 50);
    process.kill(vm.info.vmm?.pid ?? 0, 'SIGKILL');
    await vm.waitFor('Stopped');
    await vm.volumes.detach('crash');
    await using reader = await real.engine.run('busybox', {
      volumes: [{ volume: 'crash', path: '/data', mode: 'ro' }],
    });
    assert.equal(await said(reader, 'cat /data/safe'), 'safe');
    assert.match(await said(reader, 'ls /data | wc -l'), /^\d\d+$/);
  });

  test('goes on through suspend and fork, with what each copy writes to itself', async () => {
    const { volumes } = real.engine;
    await volumes.import(await archiveOf('echo base > file'), { name: 'base', size: '64MB' });
    await volumes.create({ name: 'rw', size: '64MB' });
    await using vm = await real.engine.run('busybox', {
      volumes: [{ volume: 'base', path: '/base', mode: 'overlay' }],
    });
    await vm.volumes.attach({ volume: 'rw', path: '/rw' });
    await vm.exec(['sh', '-c', 'echo mine > /base/file; echo written > /rw/file']);
    await vm.suspend();
    await vm.start();
    assert.equal(await said(vm, 'cat /base/file /rw/file'), 'mine\nwritten');
    await vm.exec(['sh', '-c', 'echo more >> /rw/file; sync']);
    await vm.restart();
    assert.equal(await said(vm, 'cat /base/file /rw/file'), 'mine\nwritten\nmore');
    await vm.volumes.detach('rw');
    const [copy] = await vm.fork();
    assert.ok(copy);
    await copy.exec(['sh', '-c', 'echo theirs > /base/file']);
    assert.equal(await said(vm, 'cat /base/file'), 'mine');
    assert.equal(await said(copy, 'cat /base/file'), 'theirs');
    await copy.delete({ force: true });
    await vm.volumes.detach('base');
    await vm.volumes.attach({ volume: 'base', path: '/base', mode: 'overlay' });
    assert.equal(await said(vm, 'cat /base/file'), 'base', 'the private layer went with its attachment');
  });

  test('grows and is copied while it is written to', async () => {
    const { volumes } = real.engine;
    await volumes.create({ name: 'grow', size: '64MB' });
    await using vm = await real.engine.run('busybox', { volumes: [{ volume: 'grow', path: '/data' }] });
    await vm.exec(['sh', '-c', 'echo one > /data/file']);
    const copy = await volumes.clone('grow', { name: 'grown' });
    await vm.exec(['sh', '-c', 'echo two > /data/file']);
    await volumes.resize('grow', '1GB');
    assert.ok(Number(await said(vm, "df -k /data | tail -1 | awk '{print $2}'")) > 900_000);
    assert.ok(copy.usedBytes < 32 * MiB, `${copy.usedBytes}`);
    await vm.volumes.attach({ volume: 'grown', path: '/copy', mode: 'ro' });
    assert.equal(await said(vm, 'cat /copy/file /data/file'), 'one\ntwo');
    for (let n = 0; n < 10; n++) await volumes.clone('grow', { name: `clone${n}` });
    assert.equal(await said(vm, 'cat /data/file'), 'two');
    await vm.volumes.detach('grow');
    await volumes.resize('clone9', '2GB');
    await vm.volumes.attach({ volume: 'clone9', path: '/nine', mode: 'ro' });
    assert.ok(Number(await said(vm, "df -k /nine | tail -1 | awk '{print $2}'")) > 1_900_000);
    assert.equal(await said(vm, 'cat /nine/file'), 'two');
  });

  test('is one of 23, and there is no room for another', async () => {
    const { volumes } = real.engine;
    const mounts = [];
    for (let n = 0; n < 23; n++) {
      await volumes.create({ name: `v${n}`, size: '64MB' });
      mounts.push({ volume: `v${n}`, path: `/v/${n}` });
    }
    await using vm = await real.engine.run('busybox', { volumes: mounts });
    assert.equal(await said(vm, 'mount | grep -c " /v/"'), '23');
    await vm.exec(['sh', '-c', 'for n in $(seq 0 22); do echo $n > /v/$n/n; done']);
    await volumes.create({ name: 'v23', size: '64MB' });
    await assert.rejects(vm.volumes.attach({ volume: 'v23', path: '/x' }), { code: 'conflict' });
    await vm.volumes.detach('v7');
    await vm.volumes.attach({ volume: 'v23', path: '/x' });
    assert.equal(await said(vm, 'cat /v/22/n; ls /x'), '22');
  });

  test('is found again by the next engine, and can be taken out there', async () => {
    await real.engine.volumes.create({ name: 'adopted', size: '64MB' });
    const { id } = await real.engine.run('busybox', { detached: true });
    const vm = await real.engine.get(id);
    await vm.volumes.attach({ volume: 'adopted', path: '/data' });
    await vm.exec(['sh', '-c', 'echo kept > /data/file']);
    await real.reopen({ templates: { backgroundDelayMs: 600_000 } });
    const again = await real.engine.get(id);
    assert.equal(again.info.volumes?.[0]?.path, '/data');
    assert.equal(await said(again, 'cat /data/file'), 'kept');
    await again.volumes.detach('adopted');
    assert.equal(await said(again, 'ls /data'), '');
    await again.delete({ force: true });
  });
});

describe('a host’s disk that is full while an archive comes in', {
  skip: isRoot ? false : 'a small file system is mounted, which only root may',
}, () => {
  let home: string;
  let image: string;
  let engine: Engine;
  before(async () => {
    home = await mkdtemp(path.join(tmpdir(), 'full-'));
    image = `${home}.img`;
    await writeFile(image, '');
    await truncate(image, 500 * MiB);
    await run('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    await run('mount', ['-o', 'loop', image, home]);
    engine = await openEngine({ home });
  });
  after(async () => {
    await engine.close();
    await run('umount', [home]);
    await rm(home, { recursive: true });
    await rm(image);
  });

  test('is what is told, and nothing is left of the volume or its guest', async () => {
    await engine.volumes.import(await archiveOf('echo small > file'), { name: 'small', size: '1GB' });
    await run('sync', ['-f', home]);
    const { bavail, bsize } = await statfs(home);
    await run('fallocate', ['-l', String(bavail * bsize - 24 * MiB), path.join(home, 'ballast')]);
    const large = await archiveOf('head -c 60000000 /dev/urandom > file');
    await assert.rejects(Promise.resolve(engine.volumes.import(large, { name: 'large', size: '1GB' })), {
      code: 'disk_full',
    });
    assert.deepEqual(
      (await engine.volumes.list()).map(({ name }) => name),
      ['small'],
    );
    assert.equal((await readdir(path.join(home, 'volumes'))).length, 1);
    assert.deepEqual(await processesBelow(home), []);
    await rm(path.join(home, 'ballast'));
    await engine.volumes.import(await archiveOf('echo again > file'), { name: 'large', size: '1GB' });
  });

  test('is not the volume that is full', async () => {
    const large = await archiveOf('head -c 60000000 /dev/urandom > file');
    await assert.rejects(Promise.resolve(engine.volumes.import(large, { size: '64MB' })), {
      code: 'payload_too_large',
    });
  });
});
