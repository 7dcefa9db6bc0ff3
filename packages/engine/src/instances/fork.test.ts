import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ForkOptions, ForkState } from '@vivarium/model';
import type { EngineVm } from '../vm.ts';
import { countingVm, goesOn, killedAt, restoreSteps, saveSteps, settled } from './fixtures/copying.ts';
import { failure, House } from './fixtures/house.ts';

const told = (house: House, vm: EngineVm) => house.host.guest(house.dir(vm.id)).system.identities.at(-1);

async function vmIn(house: House, state: ForkState): Promise<EngineVm> {
  const vm = await countingVm(house, { name: 'source' });
  if (state === 'paused') await vm.pause();
  if (state === 'suspended') await vm.suspend();
  if (state === 'stopped') await vm.stop();
  return vm;
}

const nameOf: Record<ForkState, string> = {
  running: 'Running',
  paused: 'Paused',
  suspended: 'Suspended',
  stopped: 'Stopped',
};

/** Brings it to Running, from wherever it is. */
async function run(vm: EngineVm): Promise<void> {
  if (vm.info.state === 'Paused') await vm.resume();
  else if (vm.info.state !== 'Running') await vm.start();
}

describe('a fork', () => {
  it('goes on where its source was, as somebody else, and the source goes on too', async () => {
    await using house = await House.open();
    const source = await countingVm(house, { name: 'source' });
    const [copy] = await source.fork({ name: 'copy' });
    assert.ok(copy);
    await goesOn(copy, 1);
    await goesOn(copy, 2);
    await goesOn(source, 1);
    await settled(house);
    const [theirs, ours] = [told(house, source), told(house, copy)];
    assert.deepEqual([ours?.hostname, ours?.copy, ours?.resetConnections], ['copy', true, true]);
    assert.ok((ours?.generation ?? 0) > (theirs?.generation ?? 0));
    assert.notEqual(ours?.machineId, theirs?.machineId);
    assert.notEqual(ours?.address, undefined);
    assert.equal(theirs?.copy, false);
    assert.equal(copy.info.forkedFrom?.instanceId, source.id);
  });

  it('stands still until it has been told who it is', async () => {
    await using house = await House.open();
    const source = await countingVm(house);
    const frozen: boolean[] = [];
    house.host.onGuest = ({ system }) => {
      const { identities } = system;
      identities.push = (...more) => {
        frozen.push(system.frozen);
        return Array.prototype.push.apply(identities, more);
      };
    };
    await source.fork({ count: 3, name: 'copy-%d' });
    house.host.onGuest = undefined;
    assert.deepEqual(frozen, [true, true, true]);
    await settled(house);
  });

  it('is as many as were asked for, in order, each its own', async () => {
    await using house = await House.open();
    const source = await countingVm(house);
    const copies = await source.fork({ count: 5, name: 'copy-%d', tags: { made: 'here' } });
    assert.deepEqual(
      copies.map(({ name }) => name),
      [1, 2, 3, 4, 5].map((number) => `copy-${number}`),
    );
    assert.equal(new Set(copies.map((copy) => told(house, copy)?.machineId)).size, 5);
    assert.equal(new Set(copies.map((copy) => told(house, copy)?.address)).size, 5);
    for (const [index, copy] of copies.entries()) {
      for (let counted = 1; counted <= index + 1; counted++) await goesOn(copy, counted);
      assert.deepEqual(copy.info.tags, { made: 'here' });
    }
    await goesOn(source, 1);
    await settled(house);
  });

  for (const from of ['running', 'paused', 'suspended', 'stopped'] as const) {
    for (const state of [undefined, 'running', 'paused', 'suspended', 'stopped'] as const) {
      const impossible = from === 'stopped' && (state === 'paused' || state === 'suspended');
      it(`of a ${from} VM to ${state ?? 'the same'} ${impossible ? 'is refused' : 'is that, and leaves it so'}`, async () => {
        await using house = await House.open();
        const source = await vmIn(house, from);
        const fork = source.fork(state === undefined ? {} : { state });
        if (impossible) {
          assert.equal((await failure(fork)).code, 'invalid_state');
          await settled(house);
          return;
        }
        const [copy] = await fork;
        assert.ok(copy);
        assert.equal(copy.info.state, nameOf[state ?? from]);
        assert.equal(source.info.state, nameOf[from]);
        await settled(house);
        await house.reopen();
        const [again, sourceAgain] = [await house.engine.get(copy.id), await house.engine.get(source.id)];
        assert.equal(again.info.state, nameOf[state ?? from]);
        await run(again);
        await run(sourceAgain);
        if (from !== 'stopped' && state !== 'stopped') {
          await goesOn(again, 1);
          assert.equal(told(house, again)?.copy, true);
        }
        if (from !== 'stopped') await goesOn(sourceAgain, 1);
        await settled(house);
      });
    }
  }

  it('of a fork of a fork goes on as well', async () => {
    await using house = await House.open();
    let vm = await countingVm(house);
    for (const counted of [1, 2, 3]) {
      const [copy] = await vm.fork();
      assert.ok(copy);
      await goesOn(copy, counted);
      vm = copy;
    }
    await settled(house);
  });

  it('of a suspended fork is told to be a copy too', async () => {
    await using house = await House.open();
    const source = await vmIn(house, 'running');
    const [first] = await source.fork({ state: 'suspended' });
    const [second] = (await first?.fork({ state: 'running' })) ?? [];
    assert.ok(second);
    await goesOn(second, 1);
    assert.deepEqual([told(house, second)?.copy, told(house, second)?.hostname], [true, second.name]);
    await settled(house);
  });

  it('that was suspended may be suspended again, and is itself from then on', async () => {
    await using house = await House.open();
    const source = await vmIn(house, 'running');
    const [copy] = await source.fork({ state: 'suspended' });
    assert.ok(copy);
    await copy.start();
    assert.equal(told(house, copy)?.copy, true);
    await copy.suspend();
    await copy.start();
    assert.equal(told(house, copy)?.copy, false);
  });

  const nonsense: [string, ForkOptions, string][] = [
    ['no copies', { count: 0 }, 'invalid_request'],
    ['half a copy', { count: 1.5 }, 'invalid_request'],
    ['more copies than a host has room for', { count: 1001, name: 'c-%d' }, 'invalid_request'],
    ['several copies of one name', { count: 2, name: 'copy' }, 'invalid_request'],
    ['a name that is none', { name: 'Copy!' }, 'invalid_name'],
    ['a name that is taken', { name: 'source' }, 'name_conflict'],
    ['a row of names of which one is taken', { count: 3, name: 'taken-%d' }, 'name_conflict'],
  ];
  for (const [what, options, code] of nonsense) {
    it(`is refused for ${what}, and makes nothing`, async () => {
      await using house = await House.open();
      const source = await countingVm(house, { name: 'source' });
      await house.engine.create({ image: 'busybox', name: 'taken-2' });
      assert.equal((await failure(source.fork(options))).code, code);
      assert.equal((await house.engine.list()).items.length, 2);
      await settled(house);
      await goesOn(source, 1);
    });
  }

  it('is refused where the agent does not answer, unless that is asked for', async () => {
    await using house = await House.open();
    const source = await countingVm(house);
    const { faults } = house.host.guest(house.dir(source.id));
    faults.errors.set('freeze', { code: 'guest_error', message: 'no' });
    assert.equal((await failure(source.fork())).code, 'identity_unsafe');
    await settled(house);
    const [copy] = await source.fork({ unsafeIdentity: true });
    assert.ok(copy);
    await goesOn(copy, 1);
    await goesOn(source, 1);
    await settled(house);
  });
});

describe('a fork that fails', () => {
  for (const point of [...saveSteps, 'add-layer'] as const) {
    it(`at ${point} makes nothing, and its source runs`, async () => {
      await using house = await House.open();
      const source = await countingVm(house);
      house.host.faults.inject(point, { effect: 'error' });
      await failure(source.fork());
      assert.equal(source.info.state, 'Running');
      assert.equal((await house.engine.list()).items.length, 1);
      await settled(house);
      await goesOn(source, 1);
      await source.fork();
    });
  }

  for (const point of restoreSteps) {
    for (const skipped of [0, 2]) {
      it(`at ${point} of copy ${skipped + 1} makes none of them`, async () => {
        await using house = await House.open();
        const source = await countingVm(house);
        // A delay of no time lets the ones before through.
        house.host.faults.inject(point, { effect: 'delay', milliseconds: 0 }, { times: skipped });
        house.host.faults.inject(point, { effect: 'error' });
        await failure(source.fork({ count: 4, name: 'copy-%d' }));
        assert.equal((await house.engine.list()).items.length, 1);
        await settled(house);
        await goesOn(source, 1);
        assert.deepEqual(await readdir(path.join(house.home, 'instances')), [source.id]);
        assert.equal((await source.fork({ count: 2, name: 'copy-%d' })).length, 2);
      });
    }
  }

  it('because it is cancelled makes nothing', async () => {
    for (const point of ['save.memory', 'save.update', 'restore.load', 'open.control'] as const) {
      await using house = await House.open();
      const source = await countingVm(house);
      const cancel = new AbortController();
      house.host.faults.inject(point, { effect: 'hang' });
      const struck = house.host.faults.reached(point);
      const fork = failure(source.fork({ count: 2, name: 'copy-%d', signal: cancel.signal }));
      await struck;
      cancel.abort();
      assert.equal((await fork).code, 'cancelled', point);
      assert.equal((await house.engine.list()).items.length, 1);
      await settled(house);
      await goesOn(source, 1);
    }
  });

  it('because its source ends makes nothing, though its first copy runs already', async () => {
    await using house = await House.open();
    const source = await countingVm(house);
    const dir = house.dir(source.id);
    house.host.guest(dir).faults.delays.set('thaw', 60_000);
    const fork = failure(source.fork({ name: 'copy' }));
    const copies = async () => (await house.engine.list()).items.filter(({ name }) => name === 'copy');
    while ((await copies())[0]?.state !== 'Running') await turn();
    house.host.crash(dir);
    assert.equal((await fork).code, 'agent_unreachable');
    assert.deepEqual([await copies(), house.host.alive()], [[], []]);
    assert.deepEqual(await readdir(path.join(house.home, 'instances')), [source.id]);
    await settled(house);
  });

  it('because the agent of a copy can not be told who it is makes nothing', async () => {
    await using house = await House.open();
    const source = await countingVm(house);
    house.host.onGuest = (guest) =>
      guest.faults.errors.set('identity', { code: 'guest_error', message: 'no' });
    await failure(source.fork({ count: 2, name: 'copy-%d' }));
    house.host.onGuest = undefined;
    assert.equal((await house.engine.list()).items.length, 1);
    await settled(house);
  });

  it('because a stopped source can not be booted makes nothing', async () => {
    await using house = await House.open();
    const source = await vmIn(house, 'stopped');
    house.host.faults.inject('boot.init', { effect: 'panic' });
    await failure(source.fork({ count: 3, name: 'copy-%d', state: 'running' }));
    assert.equal((await house.engine.list()).items.length, 1);
    await settled(house);
  });
});

describe('after a kill of the daemon in a fork', () => {
  for (const was of ['running', 'paused'] as const) {
    for (const point of [...saveSteps, 'add-layer', ...restoreSteps] as const) {
      it(`at ${point} the source is ${was}, and no copy is left`, async () => {
        await using house = await House.open();
        const { id } = await vmIn(house, was);
        const state = 'running';
        await killedAt(house, point, async () =>
          (await house.engine.get(id)).fork({ count: 2, name: 'c-%d', state }),
        );
        const source = await house.engine.get(id);
        assert.equal(source.info.state, nameOf[was]);
        // Copies that were complete are VMs as any other.
        for (const { id: other, name } of (await house.engine.list()).items)
          if (other !== id) await goesOn(await house.engine.get(name), 1);
        await settled(house);
        await run(source);
        await goesOn(source, 1);
        await source.fork();
      });
    }
  }
});
