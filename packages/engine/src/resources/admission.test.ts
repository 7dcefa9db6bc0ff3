import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configOf } from '../config/index.ts';
import type { Engine } from '../engine.ts';
import { failure, House } from '../instances/fixtures/house.ts';
import { boundlessGauge, type HostGauge, parseUse } from './gauge.ts';

const MiB = 2 ** 20;

/** A host with so much, whose VMMs use what the test says. */
function gauge(more: Partial<HostGauge>): HostGauge {
  return { ...boundlessGauge, cpus: 4, memoryBytes: 16_384 * MiB, ...more };
}

const config = (resources: object) => configOf({ resources }, 'test');

const run = (engine: Engine, more: object = {}) => engine.run('busybox', more);

async function burst(engine: Engine, count: number, more: object = {}): Promise<{ in: number; out: number }> {
  const results = await Promise.allSettled(Array.from({ length: count }, () => run(engine, more)));
  for (const result of results) {
    if (result.status === 'rejected') assert.equal(result.reason.code, 'insufficient_resources');
  }
  const admitted = results.filter(({ status }) => status === 'fulfilled').length;
  return { in: admitted, out: count - admitted };
}

async function endOne(engine: Engine, how: 'stop' | 'delete'): Promise<void> {
  const { items } = await engine.list({ states: ['Running'], limit: 1 });
  const vm = await engine.get(items[0]?.id ?? '');
  await (how === 'stop' ? vm.stop({ force: true }) : vm.delete({ force: true }));
}

describe('admission', () => {
  test('lets in exactly as many of 200 as there are vCPUs for, and as many again as have ended', async () => {
    await using house = await House.open('daemon', {
      gauge: gauge({}),
      config: config({ cpu: { oversubscription: 10 } }),
    });
    const { engine } = house;
    assert.deepEqual(await burst(engine, 200), { in: 40, out: 160 });
    assert.equal((await engine.list({ limit: 1000 })).items.length, 40, 'nothing is left of the others');
    await endOne(engine, 'stop');
    await endOne(engine, 'delete');
    const { items } = await engine.list({ states: ['Running'], limit: 1 });
    house.host.crash(house.dir(items[0]?.id ?? ''));
    await (await engine.get(items[0]?.id ?? '')).waitFor('Stopped');
    assert.deepEqual(await burst(engine, 20), { in: 3, out: 17 });
    const { cpu } = await engine.resources.get();
    assert.deepEqual([cpu.allocated, cpu.available, cpu.effectiveLimit, cpu.limited], [40, 0, 40, true]);
  });

  test('lets in exactly as many of 200 as memory really is free for, and refuses with the numbers', async () => {
    // Each is expected to use 64 MiB and a quarter of 256; 256 MiB are left to the host.
    await using house = await House.open('daemon', {
      gauge: gauge({ availableBytes: () => (256 + 30 * 128 + 5) * MiB }),
    });
    assert.deepEqual(await burst(house.engine, 200), { in: 30, out: 170 });
    const error = await failure(run(house.engine));
    assert.equal(error.details?.resource, 'memory');
    assert.equal(error.details?.requested, 128 * MiB);
    assert.equal(error.details?.available, 5 * MiB);
    assert.match(error.hint ?? '', /viv resources/);
    await endOne(house.engine, 'delete');
    assert.deepEqual(await burst(house.engine, 2), { in: 1, out: 1 });
  });

  test('counts what VMs use by themselves as theirs, and only the rest as promised', async () => {
    let available = (256 + 2 * 128) * MiB;
    const used = new Map<number, number>();
    await using house = await House.open('daemon', {
      gauge: gauge({
        availableBytes: () => available,
        use: async (pid) => ({ pssBytes: used.get(pid) ?? 0, ownBytes: used.get(pid) ?? 0 }),
      }),
    });
    const first = await run(house.engine);
    await run(house.engine);
    assert.equal((await failure(run(house.engine))).code, 'insufficient_resources');
    // The first has come to use all that was expected, out of what was available; a gigabyte came free elsewhere.
    used.set(first.info.vmm?.pid ?? 0, 128 * MiB);
    available = (256 + 2 * 128) * MiB;
    await run(house.engine);
    assert.equal((await failure(run(house.engine))).code, 'insufficient_resources');
    const { memory } = await house.engine.resources.get();
    assert.equal(memory.promisedBytes, 2 * 128 * MiB);
    assert.equal(memory.usedBytes, 128 * MiB);
    assert.equal(memory.available, 0);
  });

  test('gives a reservation back where the start fails', async () => {
    await using house = await House.open('daemon', {
      gauge: gauge({ cpus: 1 }),
      config: config({ cpu: { oversubscription: 1 } }),
    });
    house.host.faults.inject('launch.after-spawn', { effect: 'error' });
    assert.notEqual((await failure(run(house.engine))).code, 'insufficient_resources');
    house.host.faults.inject('boot.init', { effect: 'crash' });
    assert.notEqual((await failure(run(house.engine))).code, 'insufficient_resources');
    await run(house.engine);
    const left = await house.engine.create({ image: 'busybox' });
    const refused = await failure(left.start());
    assert.deepEqual(
      [refused.code, refused.details?.resource, refused.details?.effective_limit],
      ['insufficient_resources', 'cpu', 1],
    );
    assert.equal(left.info.state, 'Stopped', 'it is as it was');
  });

  test('lets in as many as there is room for of those that are started in one turn', async () => {
    await using house = await House.open('daemon', {
      gauge: gauge({ cpus: 1, availableBytes: () => (256 + 2 * 128 + 5) * MiB }),
      config: config({ cpu: { oversubscription: 3 } }),
    });
    const { engine } = house;
    const vms = await Promise.all(Array.from({ length: 8 }, () => engine.create({ image: 'busybox' })));
    const started = await Promise.allSettled(vms.map((vm) => vm.start()));
    assert.equal(started.filter(({ status }) => status === 'fulfilled').length, 2);
  });

  test('holds for what is woken or copied, and for nothing that only lies on the disk', async () => {
    await using house = await House.open('daemon', {
      gauge: gauge({ cpus: 1 }),
      config: config({ cpu: { oversubscription: 2 } }),
    });
    const vm = await run(house.engine);
    assert.equal((await failure(vm.fork({ count: 2 }))).code, 'insufficient_resources');
    const [copy] = await vm.fork();
    await vm.suspend();
    await run(house.engine);
    assert.equal((await failure(vm.start())).code, 'insufficient_resources');
    assert.equal(vm.info.state, 'Suspended');
    await copy?.delete({ force: true });
    await vm.start();
  });

  test('sees its VMs again after a kill of the daemon', async () => {
    await using house = await House.open('daemon', {
      gauge: gauge({ cpus: 1 }),
      config: config({ cpu: { oversubscription: 2 } }),
    });
    await burst(house.engine, 2);
    await house.reopen();
    assert.deepEqual(await burst(house.engine, 3), { in: 0, out: 3 });
  });

  test('goes by sizes, disks and maxima where hypeman’s preset is chosen', async () => {
    await using house = await House.open('daemon', {
      gauge: gauge({ memoryBytes: 2048 * MiB, cpus: 64, diskBytes: async () => 55 * 1024 * MiB }),
      config: config({ preset: 'hypeman' }),
    });
    const { engine } = house;
    assert.equal((await burst(engine, 20, { memory: '512MB', disk: '1GB' })).in, 4);
    const disks = await Promise.allSettled(
      Array.from({ length: 20 }, () => engine.create({ image: 'busybox', disk: '10GB' })),
    );
    assert.equal(disks.filter(({ status }) => status === 'fulfilled').length, 5);
    const grown = await engine.get((await engine.list({ limit: 1 })).items[0]?.id ?? '');
    const refused = await failure(grown.resizeDisk('3GB'));
    assert.deepEqual([refused.code, refused.details?.resource], ['insufficient_resources', 'disk']);
    await grown.resizeDisk('2GB');
    assert.equal((await failure(engine.create({ image: 'busybox', cpus: 17 }))).code, 'invalid_request');
    assert.equal((await failure(engine.create({ image: 'busybox', disk: '101GB' }))).code, 'invalid_size');
    const { network, diskIo, allocations } = await engine.resources.get();
    assert.equal(network.limited && diskIo.limited, true);
    assert.ok((allocations.find(({ cpus }) => cpus > 0)?.networkDownload ?? 0) > 0, 'automatic limits');
  });

  test('by default refuses nobody for vCPUs', async () => {
    await using house = await House.open('daemon', { gauge: gauge({ cpus: 1 }) });
    assert.deepEqual(await burst(house.engine, 50), { in: 50, out: 0 });
    const { cpu } = await house.engine.resources.get();
    assert.deepEqual([cpu.limited, cpu.allocated, cpu.available], [false, 50, 0]);
  });
});

test('what a VMM uses is read from its pages, on old kernels too', () => {
  const rollup =
    'Rss:  9 kB\nPss:                 100 kB\nPss_Anon:             40 kB\nPrivate_Dirty:  50 kB\n';
  assert.deepEqual(parseUse(rollup), { pssBytes: 102_400, ownBytes: 40_960 });
  assert.deepEqual(parseUse(rollup.replace(/Pss_Anon.*\n/, '')), { pssBytes: 102_400, ownBytes: 51_200 });
  assert.equal(parseUse(''), undefined);
});
