import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { RealEngine } from './real-engine.ts';
import { closeWithoutVolumes, openForVolumes, said } from './volume-parts.ts';

const MiB = 1024 ** 2;

describe('a real volume', () => {
  let real: RealEngine;
  before(async () => {
    real = await openForVolumes();
  });
  after(() => closeWithoutVolumes(real));

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
