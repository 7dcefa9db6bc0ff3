import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { SnapshotInfo } from '@vivarium/model';
import { countingVm, goesOn, killedAt, namesIn, saveSteps, settled } from '../instances/fixtures/copying.ts';
import { failure, House } from '../instances/fixtures/house.ts';
import { simulatedParts } from '../parts.ts';
import type { EngineVm } from '../vm.ts';

const dirOf = (house: House, id = '') => path.join(house.home, 'snapshots', id);
const told = (house: House, vm: EngineVm) => house.host.guest(house.dir(vm.id)).system.identities.at(-1);
const names = (snapshots: SnapshotInfo[]) => snapshots.map(({ name }) => name);

describe('a snapshot', () => {
  it('keeps an instant of a VM that goes on, and tells what it is', async () => {
    await using house = await House.open();
    const vm = await countingVm(house, { name: 'web' });
    const info = await vm.snapshots.create();
    assert.deepEqual(
      [info.name, info.instanceName, info.state, info.hasMemory, info.parentId],
      ['snap1', 'web', 'running', true, undefined],
    );
    assert.ok(info.sizeBytes > 0);
    await goesOn(vm, 1);
    await settled(house);
    assert.deepEqual(await vm.snapshots.get('snap1'), info);
    assert.deepEqual(await vm.snapshots.get(info.id.slice(0, 8)), info);
    assert.deepEqual(await house.engine.snapshots.get(info.id), info);
    await house.reopen();
    assert.deepEqual(await house.engine.snapshots.list(), [info]);
  });

  for (const state of ['running', 'paused', 'suspended', 'stopped'] as const) {
    it(`of a ${state} VM leaves it so, and is restored as what it was`, async () => {
      await using house = await House.open();
      const vm = await countingVm(house);
      if (state === 'paused') await vm.pause();
      if (state === 'suspended') await vm.suspend();
      if (state === 'stopped') await vm.stop();
      const before = vm.info.state;
      const info = await vm.snapshots.create();
      assert.deepEqual([info.state, info.hasMemory], [state, state !== 'stopped']);
      assert.equal(vm.info.state, before);
      await settled(house);
      if (vm.info.state === 'Paused') await vm.resume();
      if (vm.info.state !== 'Running') await vm.start();
      if (state !== 'stopped') await goesOn(vm, 1);
      await vm.stop();
      const restored = await vm.snapshots.restore('snap1');
      assert.deepEqual(restored, { changed: true, state: state === 'stopped' ? 'Stopped' : 'Suspended' });
      await settled(house);
      await vm.start();
      assert.equal(vm.info.state, state === 'paused' ? 'Paused' : 'Running');
      if (state === 'paused') await vm.resume();
      if (state !== 'stopped') await goesOn(vm, 1);
      assert.equal(told(house, vm)?.copy, false);
      await settled(house);
    });
  }

  it('is named by the pattern it is given, after the one before', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    const made: SnapshotInfo[] = [];
    for (const name of ['snap%d', 'snap%d', 'before-upgrade', 'snap%d'])
      made.push(await vm.snapshots.create({ name }));
    assert.deepEqual(names(made), ['snap1', 'snap2', 'before-upgrade', 'snap3']);
    assert.deepEqual(
      made.map(({ parentId }) => parentId),
      [undefined, ...made.slice(0, -1).map(({ id }) => id)],
    );
    await vm.snapshots.remove('snap1');
    assert.equal((await vm.snapshots.create()).name, 'snap1');
    assert.equal((await failure(vm.snapshots.create({ name: 'before-upgrade' }))).code, 'name_conflict');
    assert.equal((await failure(vm.snapshots.create({ name: 'No!' }))).code, 'invalid_name');
    assert.equal((await failure(vm.snapshots.get('nothing'))).code, 'not_found');
    assert.equal((await vm.snapshots.list()).length, 4);
    await settled(house);
  });

  it('has a name of its own in each VM', async () => {
    await using house = await House.open();
    const [one, other] = [await countingVm(house), await countingVm(house)];
    const ours = await one.snapshots.create({ name: 'same' });
    const theirs = await other.snapshots.create({ name: 'same' });
    assert.deepEqual([await one.snapshots.get('same'), await other.snapshots.get('same')], [ours, theirs]);
    assert.deepEqual(await house.engine.snapshots.list({ instance: other.id }), [theirs]);
  });

  it('outlives its VM, and copies are made from it', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    const { id } = await vm.snapshots.create();
    await vm.delete({ force: true });
    const copies = await house.engine.snapshots.fork(id, { count: 2, name: 'copy-%d' });
    for (const copy of copies) {
      await goesOn(copy as EngineVm, 1);
      assert.equal(told(house, copy as EngineVm)?.copy, true);
      assert.equal(copy.info.forkedFrom?.snapshotId, id);
    }
    await house.engine.snapshots.remove(id);
    await goesOn(copies[0] as EngineVm, 2);
    assert.deepEqual(await readdir(dirOf(house)), []);
    assert.equal((await failure(house.engine.snapshots.fork(id))).code, 'not_found');
    await settled(house);
  });

  it('goes also where nothing more is taken into the list of events', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    const { id } = await vm.snapshots.create();
    await vm.delete();
    const allow = house.refuse('INSERT', 'events');
    await house.engine.snapshots.remove(id);
    allow();
    assert.deepEqual(await house.engine.snapshots.list(), []);
  });

  it('of an agent that does not answer is restored in place, and not copied', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    const { faults } = house.host.guest(house.dir(vm.id));
    faults.errors.set('freeze', { code: 'guest_error', message: 'no' });
    const { id } = await vm.snapshots.create();
    faults.errors.clear();
    assert.equal((await failure(house.engine.snapshots.fork(id))).code, 'identity_unsafe');
    assert.equal((await house.engine.snapshots.fork(id, { state: 'stopped' })).length, 1);
    await vm.stop();
    await vm.snapshots.restore('snap1');
    await vm.start();
    await goesOn(vm, 1);
    await settled(house);
  });

  it('goes by itself when its time has come', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    const { id, expiresAt } = await vm.snapshots.create({ expires: '1d' });
    const keeper = await vm.snapshots.create({ expires: '1w' });
    const day = 24 * 60 * 60 * 1000;
    assert.ok(Math.abs(Date.parse(expiresAt ?? '') - Date.now() - day) < 60_000);
    const file = path.join(dirOf(house, id), 'snapshot.json');
    await house.kill();
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replaceAll(String(expiresAt), new Date(Date.now() - 1000).toISOString()));
    await house.open();
    assert.deepEqual(await house.engine.snapshots.list(), [keeper]);
    assert.deepEqual(await readdir(dirOf(house)), [keeper.id]);
    assert.equal((await failure(vm.snapshots.create({ expires: 'soon' }))).code, 'invalid_request');
  });

  it('keeps its image in use', async () => {
    await using house = await House.open();
    const vm = await countingVm(house, { name: 'web' });
    const { id } = await vm.snapshots.create();
    await vm.delete({ force: true });
    const error = await failure(house.engine.images.remove('busybox'));
    assert.equal(error.code, 'conflict');
    assert.match(error.message, /web\/snap1/);
    await house.engine.snapshots.remove(id);
    await house.engine.images.remove('busybox');
  });

  it('that makes no sense is left where it is, and one that is half made is not', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    const [good, bad, half] = [
      await vm.snapshots.create(),
      await vm.snapshots.create(),
      await vm.snapshots.create(),
    ];
    await house.kill();
    await writeFile(path.join(dirOf(house, bad.id), 'snapshot.json'), '{');
    await rm(path.join(dirOf(house, half.id), 'snapshot.json'));
    await house.open();
    assert.deepEqual(await house.engine.snapshots.list(), [good]);
    assert.deepEqual((await readdir(dirOf(house))).sort(), [good.id, bad.id].sort());
  });
});

describe('a snapshot that fails', () => {
  for (const point of [...saveSteps, 'add-layer'] as const) {
    it(`at ${point} is not there, and the VM runs`, async () => {
      await using house = await House.open();
      const vm = await countingVm(house);
      house.host.faults.inject(point, { effect: 'error' });
      await failure(vm.snapshots.create());
      assert.deepEqual(await vm.snapshots.list(), []);
      assert.deepEqual(await readdir(dirOf(house)), []);
      await settled(house);
      await goesOn(vm, 1);
    });

    it(`because the daemon was killed at ${point} is not there, and the VM runs`, async () => {
      await using house = await House.open();
      const { id } = await countingVm(house);
      await killedAt(house, point, async () => (await house.engine.get(id)).snapshots.create());
      const vm = await house.engine.get(id);
      assert.equal(vm.info.state, 'Running');
      assert.deepEqual(await namesIn(dirOf(house)), []);
      await settled(house);
      await goesOn(vm, 1);
      await vm.snapshots.create();
    });
  }

  it('because it could not be journalled is not there, and the next has its name', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    const mend = house.refuse('UPDATE', 'operations');
    await failure(vm.snapshots.create());
    mend();
    assert.deepEqual(await readdir(dirOf(house)), []);
    await goesOn(vm, 1);
    assert.deepEqual([(await vm.snapshots.create()).name, (await vm.snapshots.list()).length], ['snap1', 1]);
  });
});

/** A house whose disks wait before they are copied into an instance, once that is asked for. */
async function houseOfSlowDisks() {
  const { disks } = await simulatedParts();
  let copying: PromiseWithResolvers<void> | undefined;
  const house = await House.open('daemon', {
    disks: {
      ...disks,
      copy: async (from, to) => {
        const waits = copying;
        copying = undefined;
        waits?.resolve();
        if (waits !== undefined) await new Promise<never>(() => undefined);
        await disks.copy(from, to);
      },
    },
  });
  const hold = () => {
    copying = Promise.withResolvers();
    return copying.promise;
  };
  return { house, hold };
}

describe('a restore in place', () => {
  it('is of a VM at rest only, and of what it has', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    await vm.snapshots.create();
    assert.equal((await failure(vm.snapshots.restore('snap1'))).code, 'invalid_state');
    await vm.pause();
    assert.equal((await failure(vm.snapshots.restore('snap1'))).code, 'invalid_state');
    assert.equal((await failure(vm.snapshots.restore('snap2'))).code, 'not_found');
    await vm.resume();
    await goesOn(vm, 1);
  });

  it('gives up the memory of a suspended VM for that of the snapshot', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    await vm.snapshots.create();
    await goesOn(vm, 1);
    await vm.suspend();
    assert.deepEqual(await vm.snapshots.restore('snap1'), { changed: true, state: 'Suspended' });
    await settled(house);
    await vm.start();
    await goesOn(vm, 1);
    await vm.suspend();
    await vm.start();
    await goesOn(vm, 2);
    await settled(house);
  });

  it('gives up the memory of a suspended VM for none', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    await vm.stop();
    await vm.snapshots.create();
    await vm.start();
    await vm.suspend();
    assert.deepEqual(await vm.snapshots.restore('snap1'), { changed: true, state: 'Stopped' });
    await settled(house);
    await house.reopen();
    assert.equal((await house.engine.get(vm.id)).info.state, 'Stopped');
  });

  it('can be done again and again, and makes what it restored the parent of the next', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    const first = await vm.snapshots.create();
    await vm.snapshots.create();
    for (const _ of [1, 2]) {
      await vm.suspend();
      await vm.snapshots.restore('snap1');
      await vm.start();
      await goesOn(vm, 1);
    }
    assert.equal((await vm.snapshots.create()).parentId, first.id);
    await settled(house);
  });

  for (const memory of [true, false]) {
    it(`that was cut off by a kill is finished (${memory ? 'with' : 'without'} memory)`, async () => {
      const { house, hold } = await houseOfSlowDisks();
      await using _house = house;
      const vm = await countingVm(house);
      if (!memory) await vm.stop();
      await vm.snapshots.create();
      if (!memory) await vm.start();
      await vm.suspend();
      const copying = hold();
      vm.snapshots.restore('snap1').then(undefined, () => undefined);
      await copying;
      await house.reopen();
      const again = await house.engine.get(vm.id);
      assert.equal(again.info.state, memory ? 'Suspended' : 'Stopped');
      await settled(house);
      await again.start();
      if (memory) await goesOn(again, 1);
      await settled(house);
    });
  }

  it('that was cut off by a kill does not keep the engine from opening when its snapshot is gone', async () => {
    const { house, hold } = await houseOfSlowDisks();
    await using _house = house;
    const vm = await countingVm(house);
    const { id } = await vm.snapshots.create();
    const other = await countingVm(house);
    await vm.suspend();
    const copying = hold();
    vm.snapshots.restore('snap1').then(undefined, () => undefined);
    await copying;
    await house.kill();
    await rm(dirOf(house, id), { recursive: true });
    await house.open();
    assert.equal((await house.engine.get(vm.id)).info.state, 'Error');
    await goesOn(await house.engine.get(other.id), 1);
  });
});
