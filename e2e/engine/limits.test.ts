import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { InstanceLimits, LimitEffect, Vm } from '@vivarium/model';
import {
  cpusUsed,
  fetching,
  groupDir,
  portTo,
  reading,
  sending,
  smallWrites,
  timesThrottled,
  writing,
} from './limits-parts.ts';
import { RealEngine, until } from './real-engine.ts';

const MiB = 2 ** 20;
const options = { mode: 'daemon' as const, templates: { backgroundDelayMs: 600_000 } };

/** Serves files on 80, and says on 81 how many bytes it was sent. */
const serve =
  'mkdir /www; dd if=/dev/zero of=/www/file bs=1M count=2; while :; do nc -l -p 81 -e wc -c; done & exec httpd -f -p 80 -h /www';

/**
 * Takes as long as a rate says, but for what may come at once: a tenth of a second's worth, and the last request, which may be a MiB. A busy
 * host adds to it.
 */
function keeps(seconds: number, expected: number, free: number): void {
  assert.ok(
    seconds > 0.5 * expected && seconds < 3 * expected + 1,
    `${seconds} s, and the rate says ${expected}`,
  );
  assert.ok(seconds > 2 * free, `${seconds} s with the limit, ${free} s without`);
}

const effect = async (vm: Vm, limit: keyof InstanceLimits): Promise<LimitEffect | undefined> =>
  (await vm.limits.get()).effects.find((one) => one.limit === limit);

function vmmOf(vm: Vm): number {
  const pid = vm.info.vmm?.pid;
  assert.ok(pid, `${vm.info.name} has a VMM`);
  return pid;
}

describe('limits of a real VM', () => {
  let real: RealEngine;
  let vm: Vm;
  before(async () => {
    real = await RealEngine.open(options);
    vm = await real.engine.run('busybox', {
      name: 'limited',
      cmd: ['sh', '-c', serve],
      ports: [{ guestPort: 80 }, { guestPort: 81 }],
    });
    await until('it serves', async () => (await vm.exec(['netstat', '-ltn'])).stdout.includes(':80 '));
  });
  after(() => real[Symbol.asyncDispose]());

  test('of bytes are kept by its disk, written and read, from the moment they are set, and lifted', async (t) => {
    await writing(vm, 4);
    const free = await writing(vm, 4);
    await vm.limits.set({ diskBytesPerSecond: 2 * MiB });
    const written = await writing(vm, 4);
    const read = await reading(vm);
    await vm.limits.set({ diskBytesPerSecond: 8 * MiB });
    const faster = await writing(vm, 4);
    await vm.limits.set({ diskBytesPerSecond: 0 });
    const lifted = await writing(vm, 4);
    t.diagnostic(`4 MiB: ${[free, written, read, faster, lifted].map((s) => s.toFixed(2)).join(', ')} s`);
    keeps(written, 2, free);
    keeps(read, 2, free);
    assert.ok(faster < written / 2, `${faster} s, then ${written} s at a quarter of the rate`);
    assert.ok(lifted < written / 2, `${lifted} s, though the limit is lifted`);
  });

  test('of requests are kept by its disk', async (t) => {
    const free = await smallWrites(vm, 10);
    await vm.limits.set({ diskRequestsPerSecond: 10 });
    const limited = await smallWrites(vm, 10);
    await vm.limits.set({ diskRequestsPerSecond: 0 });
    const lifted = await smallWrites(vm, 10);
    t.diagnostic(`10 synced writes: ${[free, limited, lifted].map((s) => s.toFixed(2)).join(', ')} s`);
    // Each is a request at least, and some for the journal of the file system.
    assert.ok(limited > 0.75 && limited > 2 * free, `${limited} s with the limit, ${free} s without`);
    assert.ok(lifted < limited / 2);
  });

  test('are kept on a volume that comes later, too', async (t) => {
    await real.engine.volumes.create({ name: 'later', size: '64MB' });
    await vm.limits.set({ diskBytesPerSecond: 2 * MiB });
    await vm.volumes.attach({ volume: 'later', path: '/data' });
    const limited = await writing(vm, 4, '/data');
    await vm.limits.set({ diskBytesPerSecond: 0 });
    const free = await writing(vm, 4, '/data');
    t.diagnostic(`4 MiB on a volume: ${limited.toFixed(2)} s, without the limit ${free.toFixed(2)} s`);
    keeps(limited, 2, free);
    await vm.volumes.detach('later');
    await real.engine.volumes.remove('later');
  });

  test('are kept on published ports, each direction by itself', async (t) => {
    const [web, sink] = [portTo(vm, 80), portTo(vm, 81)];
    const both = async () => [await fetching(web, 'file', 2 * MiB), await sending(sink, 2)] as const;
    const free = await both();
    await vm.limits.set({ networkUpload: MiB });
    const from = await both();
    await vm.limits.set({ networkUpload: 0, networkDownload: MiB });
    const to = await both();
    await vm.limits.set({ networkDownload: 0 });
    const lifted = await both();
    t.diagnostic(
      `2 MiB from and to: ${[free, from, to, lifted].map((pair) => pair.map((s) => s.toFixed(2)).join('/')).join(', ')} s`,
    );
    keeps(from[0], 2, free[0]);
    keeps(to[1], 2, free[1]);
    for (const unlimited of [from[1], to[0], ...lifted]) assert.ok(unlimited < 1.5, `${unlimited} s`);
  });

  test('of CPU are kept by its cgroup while its guest is busy, or nobody is said to', async (t) => {
    await vm.limits.set({ cpus: 0.2 });
    const kept = await effect(vm, 'cpus');
    if (kept?.by === 'none') return assert.match(kept.why ?? '', /cgroup|cpu/);
    const group = await groupDir(vmmOf(vm), 'cpu');
    assert.ok(group, 'its VMM is in a group of its own');
    const loop = Promise.resolve(vm.exec(['timeout', '-s', 'KILL', '60', 'sh', '-c', 'while :; do :; done']));
    loop.catch(() => undefined);
    await until('it is held back', async () => (await timesThrottled(group)) > 0);
    const limited = await cpusUsed(vmmOf(vm));
    await vm.limits.set({ cpus: 0 });
    const before = await timesThrottled(group);
    const free = await cpusUsed(vmmOf(vm), 1);
    t.diagnostic(`CPUs of the VMM: ${limited.toFixed(2)} of 0.2, ${free.toFixed(2)} without a limit`);
    assert.ok(limited > 0.1 && limited < 0.26, `${limited} CPUs`);
    assert.equal(await timesThrottled(group), before, 'nothing holds it back any more');
    await vm.exec(['killall', '-9', 'sh']).orThrow();
    assert.equal((await loop).ok, false);
  });
});

describe('limits that a real VM is made with', () => {
  const limits = { diskBytesPerSecond: 4 * MiB, networkUpload: MiB, cpus: 0.8 };

  /** By what they do, and by what is said of them. */
  async function hold(vm: Vm, when: string): Promise<void> {
    const { asked, effects } = await vm.limits.get();
    assert.deepEqual(asked, limits, when);
    assert.deepEqual(
      effects.map(({ limit }) => limit),
      Object.keys(limits),
      when,
    );
    const written = await writing(vm, 4);
    assert.ok(written > 0.7, `${when}: 4 MiB in ${written} s`);
    await until('it serves', async () => (await vm.exec(['netstat', '-ltn'])).stdout.includes(':80 '));
    const fetched = await fetching(portTo(vm, 80), 'file', 2 * MiB);
    assert.ok(fetched > 1.5, `${when}: 2 MiB in ${fetched} s`);
    const grouped = (await groupDir(vmmOf(vm), 'cpu')) !== undefined;
    assert.equal(grouped, effects[2]?.by !== 'none', when);
  }

  test('are kept after a restore from a template, a stop, a suspend, and by the next daemon', async () => {
    await using real = await RealEngine.open(options);
    await real.engine.templates.warm({ image: 'busybox' });
    const stages: string[] = [];
    let vm = await real.engine.run(
      'busybox',
      { name: 'limited', cmd: ['sh', '-c', serve], ports: [{ guestPort: 80 }], limits },
      { onProgress: (step) => stages.push('from' in step ? String(step.from) : step.stage) },
    );
    assert.ok(stages.includes('image-template'), stages.join());
    await hold(vm, 'restored from a template');
    await vm.suspend();
    await vm.start();
    await hold(vm, 'resumed');
    await real.reopen(options);
    vm = await real.engine.get('limited');
    await hold(vm, 'adopted');
    await vm.exec(['rm', '-r', '/www']).orThrow();
    await vm.stop();
    await vm.start();
    await hold(vm, 'started again');
  });

  test('of memory end a VM whose VMM needs more, which says so; or nobody is said to keep them', async () => {
    await using real = await RealEngine.open(options);
    const vm = await real.engine.run('busybox', { memory: '512MB', limits: { memoryBytes: 256 * MiB } });
    const kept = await effect(vm, 'memoryBytes');
    if (kept?.by === 'none') return assert.match(kept.why ?? '', /cgroup|memory/);
    const filled = vm.exec(['dd', 'if=/dev/urandom', 'of=/dev/shm/fill', 'bs=1M', 'count=400']);
    await assert.rejects(Promise.resolve(filled));
    await vm.waitFor('Stopped');
    const { exit } = await vm.refresh();
    assert.equal(exit?.reason, 'vmm_exited');
    assert.match(exit.message, /killed by the kernel: .* its limit of 256MB$/);
  });

  test('leave no cgroup behind, also where they were lifted, or where nobody saw the VM end', async (t) => {
    await using real = await RealEngine.open(options);
    const groupOf = async (vm: Vm) => groupDir(vmmOf(vm), 'cpu');
    const [deleted, lifted, unseen] = await Promise.all(
      ['deleted', 'lifted', 'unseen'].map((name) =>
        real.engine.run('busybox', { name, limits: { cpus: 0.9 } }),
      ),
    );
    assert.ok(deleted && lifted && unseen);
    const groups = await Promise.all([deleted, lifted, unseen].map(groupOf));
    const made = groups.filter((dir) => dir !== undefined);
    if (made.length === 0) {
      t.diagnostic('this host has no groups to give');
      assert.equal((await effect(deleted, 'cpus'))?.by, 'none');
    }
    assert.ok(made.every((dir) => existsSync(dir)));
    await deleted.delete({ force: true });
    await lifted.limits.set({ cpus: 0 });
    await lifted.delete({ force: true });
    const vmm = vmmOf(unseen);
    await real.engine.close();
    process.kill(vmm, 'SIGKILL');
    await real.reopen(options);
    assert.equal((await real.engine.get('unseen')).info.state, 'Stopped');
    assert.deepEqual(
      made.filter((dir) => existsSync(dir)),
      [],
    );
  });
});
