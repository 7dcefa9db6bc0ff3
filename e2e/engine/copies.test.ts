import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Vm } from '@vivarium/model';
import { RealEngine, until } from './real-engine.ts';

/** Counts in memory, writes each number to the disk, and prints random numbers as fast as it can. */
const busy = [
  'sh',
  '-c',
  'mkdir -p /etc/vivarium/identity.d /etc/ssh; echo key > /etc/ssh/ssh_host_rsa_key; ' +
    'printf "#!/bin/sh\\necho \\$VIVARIUM_HOSTNAME \\$VIVARIUM_GENERATION > /hooked\\n" > /etc/vivarium/identity.d/10-note; ' +
    'chmod +x /etc/vivarium/identity.d/10-note; i=0; while :; do i=$((i+1)); echo $i > /count; ' +
    'head -c 12 /dev/urandom | od -An -tx1 >> /random; done',
];

const read = async (vm: Vm, file: string): Promise<string> => (await vm.exec(['cat', file])).stdout.trim();
const countOf = async (vm: Vm): Promise<number> => Number(await read(vm, '/count')) || 0;
const bootIdOf = (vm: Vm): Promise<string> => read(vm, '/proc/sys/kernel/random/boot_id');
const identityOf = async (vm: Vm): Promise<Record<string, string>> => ({
  hostname: await read(vm, '/proc/sys/kernel/hostname'),
  file: await read(vm, '/etc/hostname'),
  machineId: await read(vm, '/etc/machine-id'),
  bootId: await bootIdOf(vm),
  mac: await read(vm, '/sys/class/net/eth0/address'),
  address: (await vm.exec(['ip', '-4', 'addr', 'show', 'eth0'])).stdout.match(/inet (\S+)/)?.[1] ?? '',
});

describe('copies of a real VM', () => {
  let real: RealEngine;
  let source: Vm;
  before(async () => {
    real = await RealEngine.open({ templates: { backgroundDelayMs: 600_000 } });
    source = await real.engine.run('busybox', { name: 'source', cmd: busy });
    await until('it counts', async () => (await countOf(source)) > 5);
  });
  after(() => real[Symbol.asyncDispose]());

  const remove = (...vms: (Vm | undefined)[]) => Promise.all(vms.map((vm) => vm?.delete({ force: true })));

  test('go on from where it was, each as a machine of its own, and it goes on too', async () => {
    const known = await countOf(source);
    const copies = await source.fork({ count: 3, name: 'copy-%d' });
    assert.deepEqual(
      copies.map(({ name, info }) => [name, info.state]),
      ['copy-1', 'copy-2', 'copy-3'].map((name) => [name, 'Running']),
    );
    assert.equal((await source.refresh()).state, 'Running');
    const all = [source, ...copies];
    for (const vm of all) await until(`${vm.name} counts`, async () => (await countOf(vm)) > known);
    const identities = await Promise.all(all.map(identityOf));
    for (const key of ['hostname', 'file', 'machineId', 'bootId', 'mac', 'address']) {
      const values = identities.map((identity) => identity[key]);
      assert.equal(new Set(values).size, all.length, `${key}: ${values}`);
      assert.ok(values.every(Boolean), `${key}: ${values}`);
    }
    for (const [index, vm] of all.entries()) {
      assert.equal(identities[index]?.hostname, vm.name);
      const [info, generation] = [await vm.refresh(), Number(await read(vm, '/run/vivarium/generation'))];
      assert.equal(info.generation, generation);
      assert.equal(info.network?.mac, identities[index]?.mac);
    }
    for (const copy of copies) {
      assert.equal(copy.info.forkedFrom?.instanceId, source.id);
      assert.equal(await read(copy, '/hooked'), `${copy.name} ${copy.info.generation}`);
      assert.ok(
        !(await copy.exec(['grep', '-q', '^key$', '/etc/ssh/ssh_host_rsa_key'])).ok,
        'a host key of its own',
      );
    }
    assert.ok((await source.exec(['grep', '-q', '^key$', '/etc/ssh/ssh_host_rsa_key'])).ok);
    await remove(...copies);
  });

  test('never print the same random number, from the first one on', async () => {
    await source.exec(['sh', '-c', 'cat /dev/null > /random']).orThrow();
    const copies = await source.fork({ count: 2, name: 'dice-%d' });
    for (const copy of copies) {
      await until(
        'a hundred numbers',
        async () => Number((await copy.exec(['sh', '-c', 'wc -l < /random'])).stdout) > 100,
      );
    }
    const [mine, ...theirs] = await Promise.all(
      [source, ...copies].map(async (vm) => (await read(vm, '/random')).split('\n')),
    );
    // What was rolled before the fork, all have.
    const shared = theirs[0]?.filter((line) => mine?.includes(line)) ?? [];
    const [one, two] = theirs.map((lines) => lines.filter((line) => !shared.includes(line)));
    assert.ok(one && two && one.length > 50 && two.length > 50);
    assert.deepEqual(
      one.filter((line) => two.includes(line)),
      [],
    );
    await remove(...copies);
  });

  test('keep their disks to themselves', async () => {
    await source.exec(['sh', '-c', 'echo ours > /shared; sync']).orThrow();
    const [copy] = await source.fork({ name: 'apart' });
    await copy?.exec(['sh', '-c', 'echo mine > /shared; sync']).orThrow();
    assert.equal(await read(source, '/shared'), 'ours');
    await copy?.stop({ force: true });
    await copy?.start();
    assert.equal(await read(copy as Vm, '/shared'), 'mine');
    await remove(copy);
  });

  test('can be had paused, suspended and stopped, and of a source that is each of these', async () => {
    const [paused] = await source.fork({ name: 'paused', state: 'paused' });
    const [suspended] = await source.fork({ name: 'suspended', state: 'suspended' });
    const [stopped] = await source.fork({ name: 'stopped', state: 'stopped' });
    assert.deepEqual(
      [paused, suspended, stopped].map((vm) => vm?.info.state),
      ['Paused', 'Suspended', 'Stopped'],
    );
    const again = [];
    for (const vm of [paused, suspended, stopped] as Vm[]) {
      const [copy] = await vm.fork({ name: `${vm.name}-again`, state: 'running' });
      assert.ok(copy);
      assert.equal(await read(copy, '/proc/sys/kernel/hostname'), `${vm.name}-again`);
      again.push(copy);
    }
    await paused?.resume();
    await suspended?.start();
    for (const vm of [paused, suspended] as Vm[]) {
      assert.equal(await read(vm, '/proc/sys/kernel/hostname'), vm.name);
      const known = await countOf(vm);
      await until('it counts on', async () => (await countOf(vm)) > known);
    }
    await remove(paused, suspended, stopped, ...again);
  });

  test('of one that does nothing add no layer to its disk, and one that then writes much is copied as it is', async () => {
    const idle = await real.engine.run('busybox', { name: 'idle', cmd: ['sleep', '100000'] });
    await idle.exec(['true']);
    const layers = async () =>
      (await readdir(path.join(real.home, 'instances', idle.id))).filter((name) =>
        /^root\.[0-9a-f]/.test(name),
      ).length;
    const counts: number[] = [];
    for (let round = 0; round < 5; round++) {
      await remove(...(await idle.fork()));
      counts.push(await layers());
    }
    assert.ok((counts.at(-1) ?? 0) <= (counts[0] ?? 0) + 1, counts.join(' '));
    // More than may be a difference, and the disk with it.
    await idle.exec([
      'sh',
      '-c',
      'head -c 60000000 /dev/urandom > /dev/shm/much; sha256sum /dev/shm/much > /sum; sync',
    ]);
    const [copy] = await idle.fork();
    assert.ok(copy);
    assert.ok((await copy.exec(['sha256sum', '-c', '/sum'])).ok);
    assert.deepEqual(
      (await real.engine.list()).items.map(({ name }) => name).sort(),
      [copy.name, 'idle', 'source'].sort(),
    );
    await remove(copy, idle);
  });

  test('are all made or none: a name that is taken takes the others back', async () => {
    const before = (await readdir(path.join(real.home, 'instances'))).length;
    const [taken] = await source.fork({ name: 'many-2', state: 'stopped' });
    await assert.rejects(source.fork({ count: 3, name: 'many-%d' }).then(), { code: 'name_conflict' });
    await remove(taken);
    assert.equal((await readdir(path.join(real.home, 'instances'))).length, before);
    assert.deepEqual(await readdir(path.join(real.home, 'captures')), []);
  });

  test('can be made of a snapshot, in whatever order snapshots, source and copies are deleted', async () => {
    const vm = await real.engine.run('busybox', { name: 'origin', cmd: ['sh', '-c', 'sleep 1000'] });
    await vm.exec(['sh', '-c', 'echo one > /state; sync']).orThrow();
    const one = await vm.snapshots.create();
    await vm.exec(['sh', '-c', 'echo two > /state; sync']).orThrow();
    const two = await vm.snapshots.create({ expires: '1d 3H' });
    assert.deepEqual([one.name, two.name, two.parentId], ['snap1', 'snap2', one.id]);
    await vm.stop({ force: true });
    await vm.snapshots.restore('snap1');
    assert.equal(vm.info.state, 'Suspended');
    await vm.start();
    assert.equal(await read(vm, '/state'), 'one');
    await vm.snapshots.remove('snap1');
    const [copy] = await real.engine.snapshots.fork(two.id, { name: 'of-two' });
    await vm.delete({ force: true });
    await real.engine.snapshots.remove(two.id);
    assert.equal(await read(copy as Vm, '/state'), 'two');
    await copy?.stop({ force: true });
    await copy?.start();
    assert.equal(await read(copy as Vm, '/state'), 'two');
    await remove(copy);
    assert.deepEqual(await readdir(path.join(real.home, 'snapshots')), []);
  });
});
