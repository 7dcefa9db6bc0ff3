import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { readRecord } from '../store/record.ts';
import type { EngineVm } from '../vm.ts';
import { failure, House } from './fixtures/house.ts';

/** A running VM that the next daemon can't look at, so many times. */
async function unseen(house: House, times: number): Promise<EngineVm> {
  const { id } = await house.engine.run('busybox');
  house.host.faults.inject('adopt', { effect: 'error' }, { times });
  await house.reopen();
  const vm = await house.engine.get(id);
  assert.equal(vm.info.state, 'Unknown');
  return vm;
}

describe('a VM that can not be looked at when the daemon comes back', () => {
  it('is Unknown, and found as soon as it can be', async () => {
    await using house = await House.open();
    const vm = await unseen(house, 1);
    await vm.waitFor('Running', { timeoutMs: 5000 });
    assert.equal((await vm.exec(['echo', 'back'])).stdout, 'back\n');
  });

  it('is ended by a forced delete', async () => {
    await using house = await House.open();
    const vm = await unseen(house, 1);
    await vm.delete({ force: true });
    assert.deepEqual(house.host.alive(), []);
  });

  it('keeps its disks while even a forced delete can not see it', async () => {
    await using house = await House.open();
    const vm = await unseen(house, 2);
    await failure(vm.delete({ force: true }));
    assert.equal(vm.info.state, 'Unknown');
    assert.ok(existsSync(house.dir(vm.id)));
    assert.equal(house.host.alive().length, 1);
  });

  it('is deleted once it is found, where that had been begun', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox');
    house.host.faults.inject('kill', { effect: 'hang' });
    const struck = house.host.faults.reached('kill');
    vm.delete({ force: true }).then(undefined, () => undefined);
    await struck;
    await house.kill();
    house.host.faults.inject('adopt', { effect: 'error' });
    await house.open();
    const again = await house.engine.get(vm.id);
    assert.equal(again.info.state, 'Unknown');
    await again.waitFor('Deleted', { timeoutMs: 5000 });
    assert.deepEqual(house.host.alive(), []);
  });
});

describe('a VM that was paused when the daemon was killed', () => {
  for (const [action, state] of [
    ['stop', 'Stopped'],
    ['shutdown', 'Shutdown'],
  ] as const) {
    it(`hears of its ${action} by its agent`, async () => {
      await using house = await House.open();
      const { id } = await house.engine.run('busybox');
      await (await house.engine.get(id)).pause();
      await house.reopen();
      const vm = await house.engine.get(id);
      assert.deepEqual(await vm[action](), { changed: true, state });
      if (action === 'stop') assert.equal(vm.info.exit?.reason, 'stopped');
    });
  }

  it('is found paused, also when its VMM does not say so at first', async () => {
    await using house = await House.open();
    const { id } = await house.engine.run('busybox');
    await (await house.engine.get(id)).pause();
    house.host.faults.inject('status', { effect: 'error' });
    await house.reopen();
    await (await house.engine.get(id)).waitFor('Paused', { timeoutMs: 5000 });
  });
});

describe('one instance that can not be recovered', () => {
  it('is Error, and every other one is there', async () => {
    const house = await House.open();
    const { id } = await house.engine.create({ image: 'busybox', name: 'good' });
    await house.kill();
    // No directory can have such a name, so its removal fails.
    house.sql(
      `INSERT INTO instances SELECT 'bad', 'bad', replace(replace(replace(record, '${id}', 'b\\u0000d'),
        '"name":"good"', '"name":"bad"'), '"phase":"made"', '"phase":"defined"') FROM instances`,
    );
    await house.open();
    const states = (await house.engine.list()).items.map(({ state }) => state);
    assert.deepEqual(states.sort(), ['Error', 'Stopped']);
    await house.engine.close();
    await rm(house.home, { recursive: true });
  });
});

describe('a database that refuses to be written', () => {
  it('takes back a create and a start', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    const mend = house.refuse('UPDATE', 'operations');
    await failure(house.engine.create({ image: 'busybox' }));
    await failure(vm.start());
    assert.equal(vm.info.state, 'Stopped');
    assert.deepEqual(house.host.alive(), []);
    mend();
    assert.equal((await house.engine.list()).items.length, 1);
    await house.reopen();
    const again = await house.engine.get(vm.id);
    assert.equal((await again.start()).state, 'Running');
  });

  it('hides the end of no VM', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox');
    const mend = house.refuse('UPDATE', 'instances');
    house.host.crash(house.dir(vm.id));
    await vm.waitFor('Stopped', { timeoutMs: 1000 });
    mend();
    await house.reopen();
    assert.equal((await house.engine.get(vm.id)).info.exit?.vmm?.signal, 'SIGKILL');
  });

  it('stops no change of state by having no room for events', async () => {
    await using house = await House.open();
    const mend = house.refuse('INSERT', 'events');
    const vm = await house.engine.run('busybox');
    assert.equal(vm.info.state, 'Running');
    house.host.crash(house.dir(vm.id));
    await vm.waitFor('Stopped', { timeoutMs: 1000 });
    mend();
  });

  it('leaves a renamed instance its old name, in every place', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox', name: 'old' });
    const mend = house.refuse('UPDATE', 'operations');
    await failure(vm.rename('new'));
    mend();
    assert.equal(vm.name, 'old');
    assert.equal((await readRecord(house.dir(vm.id)))?.name, 'old');
    await house.reopen();
    assert.equal((await house.engine.get('old')).id, vm.id);
  });
});

describe('a start that never came to a VMM', () => {
  it('keeps what is known of the run before', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox', { cmd: ['sh', '-c', 'exit 7'] });
    const { exit } = await vm.waitFor('Stopped');
    house.host.faults.inject('launch.before-spawn', { effect: 'error' });
    await failure(vm.start());
    assert.deepEqual(vm.info.exit, exit);
  });
});
