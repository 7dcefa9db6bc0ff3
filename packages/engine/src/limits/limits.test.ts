import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { configOf } from '../config/index.ts';
import { Cgroups } from '../host/cgroups/index.ts';
import { failure, House } from '../instances/fixtures/house.ts';
import { boundlessGauge } from '../resources/gauge.ts';

const limits = { diskBytesPerSecond: 2 ** 20, networkUpload: 125_000 };

/** A host with cgroups of one controller, in plain files. */
async function hostWith(controller: 'cpu' | 'memory'): Promise<{ root: string; cgroups: Cgroups }> {
  const root = await mkdtemp(path.join(tmpdir(), 'viv-limits-'));
  await mkdir(path.join(root, controller));
  const own = path.join(root, 'self');
  await writeFile(own, `1:${controller}:/\n`);
  return { root, cgroups: new Cgroups({ root, own }) };
}

describe('limits of an instance', () => {
  test('can not be set, and no standby policy either, once it has been deleted, and bring nothing of it back', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    await vm.delete();
    assert.equal((await failure(vm.limits.set(limits))).code, 'not_found');
    assert.equal((await failure(vm.standby.set({ wake: 'never' }))).code, 'not_found');
    await house.reopen();
    assert.deepEqual((await house.engine.list()).items, []);
  });

  test('are set, as a standby policy is, by whoever has the instance in hand: not while something else is done with it', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    const updating = vm.update({ tags: { a: '1' } });
    const refused = await Promise.all(
      [vm.limits.set(limits), vm.standby.set({ wake: 'never' })].map(failure),
    );
    assert.deepEqual(
      refused.map(({ code }) => code),
      ['busy', 'busy'],
    );
    await updating;
    assert.deepEqual((await vm.limits.get()).asked, {});
  });

  test('are kept by VMM and shim from its start on, and after a restart of the daemon', async () => {
    await using house = await House.open();
    const { id } = await house.engine.run('busybox', { limits });
    const set = () => house.host.find(house.dir(id))?.limits;
    const rates = {
      diskBytesPerSecond: 2 ** 20,
      diskRequestsPerSecond: 0,
      networkDownload: 0,
      networkUpload: 125_000,
    };
    assert.deepEqual(set(), rates);
    await house.reopen();
    const vm = await house.engine.get(id);
    const { asked, effects } = await vm.limits.get();
    assert.deepEqual(asked, limits);
    assert.deepEqual(
      effects.map(({ limit, value, by, automatic }) => [limit, value, by, automatic]),
      [
        ['diskBytesPerSecond', 2 ** 20, 'vmm', false],
        ['networkUpload', 125_000, 'shim', false],
      ],
    );
    assert.match(effects[1]?.why ?? '', /published ports/);
    await vm.suspend();
    assert.deepEqual((await vm.limits.get()).effects, []);
    await vm.start();
    assert.deepEqual(set(), rates, 'and by the VMM that goes on from saved memory');
  });

  test('change while it runs: what is not named stays, and 0 lifts', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox', { limits });
    const set = () => house.host.find(house.dir(vm.id))?.limits;
    await vm.limits.set({ diskBytesPerSecond: 2 ** 21 });
    assert.deepEqual(vm.info.limits, { ...limits, diskBytesPerSecond: 2 ** 21 });
    assert.equal(set()?.diskBytesPerSecond, 2 ** 21);
    const lifted = await vm.limits.set({ diskBytesPerSecond: 0, networkUpload: 0 });
    assert.deepEqual(lifted, { asked: {}, effects: [] });
    assert.deepEqual([set()?.diskBytesPerSecond, set()?.networkUpload], [0, 0]);
    assert.equal(vm.info.limits, undefined);
    for (const wrong of [{ diskBytesPerSecond: 1 }, { cpus: -1 }, { cpuWeight: 1.5 }, { memoryBytes: 5 }])
      assert.equal((await failure(vm.limits.set(wrong))).code, 'invalid_request');
  });

  test('that need the host are said not to be kept where it has nothing for them', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox', { limits: { cpus: 0.5 } });
    const { effects } = await vm.limits.get();
    assert.deepEqual(
      effects.map(({ limit, by, why }) => [limit, by, why]),
      [['cpus', 'none', 'its VMM is no process of this host']],
    );
  });

  test('of the host are a cgroup, which goes with the VM', async () => {
    const { root, cgroups } = await hostWith('cpu');
    try {
      await using house = await House.open('daemon', { cgroups });
      const { limitKeepers } = await house.engine.resources.get();
      assert.deepEqual(limitKeepers, await cgroups.survey());
      const vm = await house.engine.run('busybox', { limits: { cpus: 0.25, memoryBytes: 2 ** 29 } });
      const group = path.join(root, 'cpu', `vivarium-${vm.id}`);
      assert.equal(await readFile(path.join(group, 'cpu.cfs_quota_us'), 'utf8'), '25000');
      assert.equal(await readFile(path.join(group, 'cgroup.procs'), 'utf8'), String(vm.info.vmm?.pid));
      const { effects } = await vm.limits.get();
      assert.deepEqual(
        effects.map(({ limit, by }) => [limit, by]),
        [
          ['cpus', 'cgroup-v1'],
          ['memoryBytes', 'none'],
        ],
      );
      await vm.limits.set({ cpus: 0 });
      assert.equal(await readFile(path.join(group, 'cpu.cfs_quota_us'), 'utf8'), '-1');
      // A real group's files go with it.
      for (const file of await readdir(group)) await rm(path.join(group, file));
      await vm.stop({ force: true });
      assert.deepEqual(await readdir(path.join(root, 'cpu')), []);
    } finally {
      await rm(root, { recursive: true });
    }
  });

  test('of the host leave no cgroup, also where they were lifted, or where the VM ended while nobody looked', async () => {
    const { root, cgroups } = await hostWith('cpu');
    try {
      await using house = await House.open('daemon', { cgroups });
      const groups = () => readdir(path.join(root, 'cpu'));
      const made = async () => {
        const vm = await house.engine.run('busybox', { limits: { cpus: 0.25 } });
        return { vm, group: path.join(root, 'cpu', `vivarium-${vm.id}`) };
      };
      // A real group's files go with it.
      const empty = async (group: string) => {
        for (const file of await readdir(group)) await rm(path.join(group, file));
      };
      const lifted = await made();
      await lifted.vm.limits.set({ cpus: 0 });
      await empty(lifted.group);
      await lifted.vm.delete({ force: true });
      assert.deepEqual(await groups(), []);
      const unseen = await made();
      await empty(unseen.group);
      await house.kill();
      house.host.find(house.dir(unseen.vm.id))?.end({ signal: 'SIGKILL' });
      await house.open();
      assert.deepEqual(await groups(), []);
      await house.engine.run('busybox', {});
      await house.reopen();
      assert.deepEqual(await groups(), [], 'no group is made to lift a limit in it');
    } finally {
      await rm(root, { recursive: true });
    }
  });

  test('of memory are told as the reason of the end where they were, also by the next daemon', async () => {
    const { root, cgroups } = await hostWith('memory');
    try {
      await using house = await House.open('daemon', { cgroups });
      const made = async () => house.engine.run('busybox', { limits: { memoryBytes: 2 ** 29 } });
      // What the kernel does to the one and tells of the group.
      const end = async (id: string, told: string) => {
        await writeFile(path.join(root, 'memory', `vivarium-${id}`, 'memory.oom_control'), told);
        house.host.find(house.dir(id))?.end({ signal: 'SIGKILL' });
      };
      const [seen, other, unseen] = [await made(), await made(), await made()];
      const ends = [seen.waitFor('Stopped'), other.waitFor('Stopped')];
      await end(seen.id, 'oom_kill 1\n');
      await end(other.id, 'oom_kill 0\n');
      await Promise.all(ends);
      await house.kill();
      await end(unseen.id, 'oom_kill 1\n');
      await house.open();
      const message = async ({ id }: { id: string }) => (await house.engine.get(id)).info.exit?.message;
      const why =
        'the VMM was killed by the kernel: it needed more memory of the host than its limit of 512MB';
      assert.deepEqual(
        [await message(seen), await message(other), await message(unseen)],
        [why, 'the VMM was killed by SIGKILL', why],
      );
    } finally {
      await rm(root, { recursive: true });
    }
  });

  test('that were lifted when the daemon was killed are lifted by the next one', async () => {
    await using house = await House.open();
    const { id } = await house.engine.run('busybox', { limits });
    const kept = house.host.find(house.dir(id));
    assert.ok(kept?.limits);
    const before = kept.limits;
    await (await house.engine.get(id)).limits.set({ diskBytesPerSecond: 0, networkUpload: 0 });
    // The record was written, and nobody has told the VMM.
    kept.limits = before;
    await house.reopen();
    assert.deepEqual(
      [kept.limits.diskBytesPerSecond, kept.limits.networkUpload],
      [0, 0],
      'as the record has it',
    );
  });

  test('are automatic where hypeman’s preset is chosen, and must fit', async () => {
    const gauge = { ...boundlessGauge, cpus: 1, memoryBytes: 2 ** 34, diskBytes: async () => 2 ** 45 };
    const config = configOf(
      { resources: { preset: 'hypeman', network: { capacity: '80Mbps' }, diskIo: { capacity: '4MB/s' } } },
      'test',
    );
    await using house = await House.open('daemon', { gauge, config });
    const vm = await house.engine.run('busybox', { cpus: 1 });
    const { effects } = await vm.limits.get();
    assert.deepEqual(
      effects.map(({ limit, value, automatic }) => [limit, value, automatic]),
      [
        // 4 vCPUs share 8 MB/s and 20 MB/s.
        ['diskBytesPerSecond', 2 * 2 ** 20, true],
        ['networkDownload', 5_000_000, true],
        ['networkUpload', 5_000_000, true],
      ],
    );
    const others = await Promise.allSettled(
      Array.from({ length: 5 }, () => house.engine.run('busybox', { cpus: 1 })),
    );
    assert.equal(others.filter(({ status }) => status === 'fulfilled').length, 3);
    const refused = await failure(vm.limits.set({ networkDownload: 6_000_000 }));
    assert.deepEqual([refused.code, refused.details?.resource], ['insufficient_resources', 'network']);
    assert.equal(vm.info.limits, undefined);
  });
});
