import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { type RealEngine, until } from './real-engine.ts';
import { archiveOf, closeWithoutVolumes, openForVolumes, said } from './volume-parts.ts';

const isRoot = process.getuid?.() === 0;

describe('a volume in a real VM', () => {
  let real: RealEngine;
  before(async () => {
    real = await openForVolumes();
  });
  after(() => closeWithoutVolumes(real));

  test('that comes later shows up in what runs already, and names it when it is to go', async () => {
    const { volumes } = real.engine;
    await volumes.create({ name: 'late', size: '64MB' });
    const cmd = [
      'sh',
      '-c',
      'until mount | grep -q " /data type ext4"; do sleep 0.05; done; cd /data; while :; do date > seen.new; mv seen.new seen; sleep 0.05; done',
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
    // A chown takes the setuid bit away: it comes first.
    const fill =
      `mkdir -p a/b; echo content > a/b/file; ${isRoot ? 'chown 1234:5678 a/b/file; ' : ''}` +
      'chmod 4751 a/b/file; ln a/b/file hard; ln -s a/b/file soft';
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

  test('is detached where it is, whatever the path that it was asked for at leads through', async () => {
    const { volumes } = real.engine;
    for (const name of ['linked', 'beside']) await volumes.create({ name, size: '64MB' });
    await using vm = await real.engine.run('busybox');
    await said(vm, 'mkdir -p /real /srv/below; ln -s /real /link; ln -s ../real /srv/up');
    for (const path of ['/link/deep', '/srv/up']) {
      await vm.volumes.attach({ volume: 'linked', path });
      await said(vm, `echo kept > ${path}/file`);
      const place = await said(vm, `readlink -f ${path}`);
      assert.match(await said(vm, 'mount'), new RegExp(` ${place} type ext4`));
      const refused = vm.volumes.attach({ volume: 'beside', path: place });
      await assert.rejects(refused, { code: 'conflict' });
      const exported = await Array.fromAsync(volumes.export('linked'));
      assert.ok(exported.length > 0);
      await vm.volumes.detach('linked');
      assert.equal(await said(vm, `mount | grep ext4; ls ${place} | grep file`), '');
    }
    await vm.volumes.attach({ volume: 'linked', path: '/link/deep' });
    assert.equal(await said(vm, 'cat /real/deep/file'), 'kept');
    await said(vm, 'mv /real /moved; ln -s /etc /real');
    await vm.volumes.detach('linked');
    assert.equal(await said(vm, 'mount | grep ext4; ls /moved/deep'), '');
    await vm.volumes.attach({ volume: 'linked', path: '/data' });
    assert.equal(await said(vm, 'cat /data/file'), 'kept');
  });

  test('whose writer was killed is whole for the next one, also where that only reads', async () => {
    // With room for more than it can have written by then.
    await real.engine.volumes.create({ name: 'crash', size: '1GB' });
    await using vm = await real.engine.run('busybox', {
      volumes: [{ volume: 'crash', path: '/data' }],
      cmd: ['sh', '-c', 'i=0; while :; do i=$((i+1)); mkdir /data/$i; echo $i > /data/$i/n; done'],
    });
    const count = async (reader: Vm) => Number(await said(reader, 'ls /data | wc -l'));
    // What is synced is something, and the kill finds more than that under way.
    await until('it has written much', async () => (await count(vm)) > 50);
    await vm.exec(['sh', '-c', 'echo safe > /data/safe; sync']);
    const synced = await count(vm);
    await until('it has written more', async () => (await count(vm)) > synced + 50);
    process.kill(vm.info.vmm?.pid ?? 0, 'SIGKILL');
    await vm.waitFor('Stopped');
    await vm.volumes.detach('crash');
    await using reader = await real.engine.run('busybox', {
      volumes: [{ volume: 'crash', path: '/data', mode: 'ro' }],
    });
    assert.equal(await said(reader, 'cat /data/safe'), 'safe');
    assert.ok((await count(reader)) > 50);
    // What was not synced may be lost; what is there is whole.
    assert.equal(await said(reader, 'ls -lR /data 2>&1 > /dev/null'), '');
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
});
