import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Cgroups } from './groups.ts';
import { parseOwn } from './layout.ts';

const limits = { cpus: 0.5, cpuWeight: 200, memoryBytes: 2 ** 28 };

describe('cgroups', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'viv-cgroups-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  /** A tree of plain files: what is written can be read. */
  async function tree(own: string, files: Record<string, string>): Promise<Cgroups> {
    for (const [file, text] of Object.entries(files)) {
      await mkdir(path.join(root, path.dirname(file)), { recursive: true });
      await writeFile(path.join(root, file), text);
    }
    await writeFile(path.join(root, 'self'), own);
    return new Cgroups({ root, own: path.join(root, 'self') });
  }

  const read = (file: string): Promise<string> => readFile(path.join(root, file), 'utf8');

  test('of version 1 are made below our own, a controller each', async () => {
    const cgroups = await tree('2:memory:/box\n1:cpu,cpuacct:/\n0::/\n', {
      'cpu/tasks': '',
      'memory/box/tasks': '',
    });
    const effects = await cgroups.apply('a', 42, limits);
    assert.deepEqual(effects, [
      { limit: 'cpus', by: 'cgroup-v1' },
      { limit: 'cpuWeight', by: 'cgroup-v1' },
      { limit: 'memoryBytes', by: 'cgroup-v1' },
    ]);
    assert.equal(await read('cpu/vivarium-a/cpu.cfs_quota_us'), '50000');
    assert.equal(await read('cpu/vivarium-a/cpu.shares'), '2048');
    assert.equal(await read('memory/box/vivarium-a/memory.limit_in_bytes'), String(2 ** 28));
    assert.equal(await read('memory/box/vivarium-a/cgroup.procs'), '42');
    await cgroups.apply('a', 42, {}, limits);
    assert.equal(await read('cpu/vivarium-a/cpu.cfs_quota_us'), '-1');
    assert.equal(await read('cpu/vivarium-a/cpu.shares'), '1024');
  });

  test('say whether somebody in them was ended for want of memory', async () => {
    const one = await tree('2:memory:/box\n', {
      'memory/box/vivarium-a/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n',
      'memory/box/vivarium-b/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 0\n',
    });
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map((name) => one.ranOutOfMemory(name))), [
      true,
      false,
      false,
    ]);
    const two = await tree('0::/viv\n', {
      'cgroup.controllers': 'cpu memory',
      'viv/cgroup.subtree_control': 'memory',
      'viv/vivarium-a/memory.events': 'low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 0\n',
      'viv/vivarium-b/memory.events': 'low 0\nhigh 0\nmax 12\noom 2\noom_kill 0\noom_group_kill 2\n',
    });
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map((name) => two.ranOutOfMemory(name))), [
      true,
      false,
      false,
    ]);
  });

  test('of version 2 are made below our own where it may give controllers away, else below the unit that it is in', async () => {
    const cgroups = await tree('0::/viv.service/daemon\n', {
      'cgroup.controllers': 'cpu io memory',
      'viv.service/cgroup.subtree_control': 'cpu memory',
      'viv.service/daemon/cgroup.subtree_control': '',
    });
    assert.deepEqual(
      (await cgroups.apply('a', 42, limits)).map(({ by }) => by),
      ['cgroup-v2', 'cgroup-v2', 'cgroup-v2'],
    );
    assert.equal(await read('viv.service/vivarium-a/cpu.max'), '50000 100000');
    assert.equal(await read('viv.service/vivarium-a/memory.max'), String(2 ** 28));
    assert.equal(await read('viv.service/vivarium-a/cpu.weight'), '200');
  });

  test('of version 2 are never made beside our own, also where we could', async () => {
    for (const [own, parent] of [
      ['/system.slice/vivd.service', 'system.slice'],
      ['/user.slice/user-0.slice/session-1.scope', 'user.slice/user-0.slice'],
      ['/user@0.service/inner.scope', 'user@0.service'],
      ['/box', ''],
    ] as const) {
      const cgroups = await tree(`0::${own}\n`, {
        'cgroup.controllers': 'cpu memory',
        [path.join(parent, 'cgroup.subtree_control')]: 'cpu memory',
        [`${own}/cgroup.subtree_control`]: '',
      });
      const effects = await cgroups.apply('a', 42, limits);
      assert.deepEqual(new Set(effects.map(({ by }) => by)), new Set(['none']), own);
      const made = (await readdir(root, { recursive: true })).filter((file) => file.includes('vivarium'));
      assert.deepEqual(made, [], own);
    }
  });

  test('that the host has not given us are no limits, and it is said why', async () => {
    const hybrid = await tree('1:cpu:/\n0::/\n', { 'cpu/tasks': '' });
    const [cpu, memory] = await hybrid.apply('a', 42, { cpus: 1, memoryBytes: 1 });
    assert.equal(cpu?.by, 'cgroup-v1');
    assert.deepEqual(memory, { limit: 'memoryBytes', by: 'none', why: 'this host has no memory cgroup' });
    const bare = await tree('0::/user.slice\n', {
      'cgroup.controllers': 'cpu',
      'user.slice/cgroup.subtree_control': '',
    });
    const survey = await bare.survey();
    assert.match(
      survey[0]?.why ?? '',
      /vivd's cgroup \(\/user\.slice\) was not delegated to it, with the cpu controller/,
    );
    assert.match(survey[1]?.why ?? '', /memory controller of cgroup v2 is not available/);
  });

  test('are removed with their VM', async () => {
    const cgroups = await tree('1:cpu:/\n', { 'cpu/tasks': '' });
    await mkdir(path.join(root, 'cpu/vivarium-a'));
    await cgroups.remove('a');
    await cgroups.remove('a');
    assert.deepEqual(await readdir(path.join(root, 'cpu')), ['tasks']);
  });

  test('are found in what the kernel says of this process', () => {
    assert.deepEqual(
      [...parseOwn('9:name=systemd:/\n1:cpu,cpuacct:/a:b\n0::/c\n')],
      [
        ['name=systemd', '/'],
        ['cpu', '/a:b'],
        ['cpuacct', '/a:b'],
        ['', '/c'],
      ],
    );
  });
});
