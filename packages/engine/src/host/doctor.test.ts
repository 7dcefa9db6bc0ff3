import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseAvailable } from '../resources/gauge.ts';
import { Cgroups } from './cgroups/index.ts';
import { checkAssets } from './checks/assets.ts';
import { checkCgroups, checkDiskSpace } from './checks/capacity.ts';
import { checkNode } from './checks/programs.ts';
import { hostChecks } from './doctor.ts';

describe('the checks of this host', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-doctor-'));
  });
  after(() => rm(dir, { recursive: true }));

  test('all answer where nothing is set up, each failure with what to do', async () => {
    const checks = await hostChecks({
      home: path.join(dir, 'not/yet'),
      assets: path.join(dir, 'none'),
      qemuPath: 'no-such-qemu',
    });
    const byName = new Map(checks.map((check) => [check.name, check]));
    assert.equal(byName.get('qemu')?.status, 'failed');
    assert.match(byName.get('qemu')?.hint ?? '', /Install QEMU/);
    assert.equal(byName.get('assets')?.status, 'failed');
    assert.match(byName.get('assets')?.hint ?? '', /viv setup/);
    assert.equal(byName.get('node')?.status, 'ok');
    assert.equal(new Set(checks.map(({ name }) => name)).size, checks.length);
  });

  test('an asset that was changed after it was built is found', async () => {
    const assets = path.join(dir, 'assets');
    await mkdir(assets);
    await writeFile(path.join(assets, 'a'), 'as built');
    const digest = `sha256:${createHash('sha256').update('as built').digest('hex')}`;
    const asset = { path: 'a', digest, version: '1' };
    const all = {
      format: 1,
      kernel: asset,
      initramfs: asset,
      agent: asset,
      shim: asset,
      zygote: asset,
      images: {},
    };
    await writeFile(path.join(assets, 'assets.json'), JSON.stringify(all));
    assert.equal((await checkAssets(assets)).status, 'ok');
    await writeFile(path.join(assets, 'a'), 'changed');
    const check = await checkAssets(assets);
    assert.equal(check.status, 'failed');
    assert.match(check.message, /kernel: .* has been changed/);
    await rm(path.join(assets, 'a'));
    assert.match((await checkAssets(assets)).message, /initramfs: .*ENOENT/);
  });

  test('an old Node is named with the one that is needed', () => {
    assert.equal(checkNode('20.1.0').status, 'failed');
    assert.equal(checkNode('25.0.0').status, 'ok');
  });

  test('free space is that of the file system on which a missing directory would be', async () => {
    assert.match((await checkDiskSpace(path.join(dir, 'a/b/c'))).message, /free/);
  });

  test('available memory is read as the kernel shows it, and it is said who would keep limits', async () => {
    assert.equal(parseAvailable('MemTotal: 9 kB\nMemAvailable:   2048 kB\n'), 2 ** 21);
    assert.equal(parseAvailable(''), undefined);
    const own = path.join(dir, 'own');
    const check = async () => checkCgroups(new Cgroups({ root: dir, own }));
    await writeFile(own, '0::/\n');
    assert.equal((await check()).status, 'warning');
    assert.match((await check()).message, /cpu limits are not kept: this host has no cpu cgroup/);
    await writeFile(path.join(dir, 'cgroup.controllers'), 'cpu memory\n');
    await writeFile(path.join(dir, 'cgroup.subtree_control'), 'cpu memory\n');
    assert.deepEqual(await check(), {
      name: 'cgroups',
      status: 'ok',
      message: 'cpu limits by cgroup-v2; memory limits by cgroup-v2',
    });
  });
});
