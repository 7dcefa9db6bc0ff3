import assert from 'node:assert/strict';
import { readdir, rm, truncate } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { EngineVm } from '../vm.ts';
import { countingVm, goesOn, killedAt, restoreSteps, saveSteps, settled } from './fixtures/copying.ts';
import { failure, House } from './fixtures/house.ts';

async function suspended(house: House): Promise<EngineVm> {
  const vm = await countingVm(house);
  await vm.suspend();
  return vm;
}

const generation = (house: House, vm: EngineVm) =>
  house.host.guest(house.dir(vm.id)).system.identities.at(-1)?.generation;

describe('a suspended VM', () => {
  it('has no VMM, and goes on where it was, with a word on who it is', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    assert.deepEqual(await vm.suspend(), { changed: true, state: 'Suspended' });
    await settled(house);
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    await goesOn(vm, 1);
    await settled(house);
    const { identities } = house.host.guest(house.dir(vm.id)).system;
    assert.deepEqual(
      identities.map(({ generation, copy, resetConnections }) => [generation, copy, resetConnections]),
      [
        [1, false, false],
        [2, false, true],
      ],
    );
    assert.deepEqual(new Set(identities.map(({ machineId }) => machineId)).size, 1);
  });

  it('tells of its states in the order of the table', async () => {
    await using house = await House.open();
    const vm = await suspended(house);
    await vm.start();
    const end = new AbortController();
    const seen: unknown[] = [];
    for await (const { type, data } of house.engine.events({
      since: 0,
      instance: vm.id,
      signal: end.signal,
    })) {
      if (type === 'state') seen.push(data.to);
      if (seen.at(-1) === 'Running' && seen.includes('Restoring')) break;
    }
    assert.deepEqual(seen.slice(seen.indexOf('Running')), [
      'Running',
      'Suspending',
      'Suspended',
      'Restoring',
      'Running',
    ]);
  });

  it('is suspended and started again and again', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    for (const counted of [1, 2, 3]) {
      await vm.suspend();
      await vm.start();
      await goesOn(vm, counted);
    }
    assert.equal(generation(house, vm), 4);
    await settled(house);
  });

  it('was paused, and is paused again when it is started', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    await vm.pause();
    await vm.suspend();
    assert.deepEqual(await vm.start(), { changed: true, state: 'Paused' });
    await settled(house);
    await vm.resume();
    await goesOn(vm, 1);
    await settled(house);
  });

  it('is found suspended by the next daemon', async () => {
    await using house = await House.open();
    const { id } = await suspended(house);
    await house.reopen();
    const vm = await house.engine.get(id);
    assert.equal(vm.info.state, 'Suspended');
    await vm.start();
    await goesOn(vm, 1);
  });

  it('is not suspended, paused or stopped once more', async () => {
    await using house = await House.open();
    const vm = await suspended(house);
    assert.deepEqual(await vm.suspend(), { changed: false, state: 'Suspended' });
    for (const action of ['pause', 'resume', 'shutdown', 'prepare', 'stop'] as const) {
      assert.equal((await failure(vm[action]())).code, 'invalid_state', action);
    }
    assert.equal(vm.info.state, 'Suspended');
  });

  it('is deleted without force, with what was saved', async () => {
    await using house = await House.open();
    const vm = await suspended(house);
    await vm.delete();
    assert.deepEqual(await readdir(path.join(house.home, 'instances')), []);
  });

  it('becomes a stopped one when its memory is discarded, for good', async () => {
    await using house = await House.open();
    const vm = await suspended(house);
    assert.deepEqual(await vm.discard(), { changed: true, state: 'Stopped' });
    await settled(house);
    assert.equal(vm.info.exit?.reason, 'stopped');
    await house.reopen();
    const again = await house.engine.get(vm.id);
    assert.equal(again.info.state, 'Stopped');
    await again.start();
    assert.equal((await failure(again.resumeExec('counter'))).code, 'not_found');
    await settled(house);
  });

  it('is booted where it is started cold, and its memory is given up once it is up', async () => {
    await using house = await House.open();
    const vm = await suspended(house);
    house.host.faults.inject('boot.init', { effect: 'panic' });
    await failure(vm.start({ cold: true }));
    assert.equal(vm.info.state, 'Suspended');
    await settled(house);
    await vm.start();
    await goesOn(vm, 1);
    await vm.suspend();
    assert.deepEqual(await vm.start({ cold: true }), { changed: true, state: 'Running' });
    assert.equal((await failure(vm.resumeExec('counter'))).code, 'not_found');
    await settled(house);
  });

  it('keeps its memory while that can not be loaded, and says what to do', async () => {
    for (const [damage, code] of [
      [(dir: string) => rm(path.join(dir, 'devices')), 'saved_state_damaged'],
      [(dir: string) => truncate(path.join(dir, 'memory'), 1), 'saved_state_damaged'],
      [(dir: string) => rm(path.join(dir, 'manifest.json')), 'saved_state_damaged'],
    ] as const) {
      await using house = await House.open();
      const vm = await suspended(house);
      await damage(path.join(house.dir(vm.id), 'saved'));
      const error = await failure(vm.start());
      assert.equal(error.code, code);
      assert.match(error.hint ?? '', /--cold/);
      assert.equal(vm.info.state, 'Suspended');
      await settled(house);
      assert.equal((await vm.start({ cold: true })).state, 'Running');
      await settled(house);
    }
  });
});

describe('a suspend that fails', () => {
  for (const was of ['Running', 'Paused'] as const) {
    for (const point of saveSteps) {
      it(`at ${point} leaves a VM ${was}, and nothing else`, async () => {
        await using house = await House.open();
        const vm = await countingVm(house);
        if (was === 'Paused') await vm.pause();
        house.host.faults.inject(point, { effect: 'error' });
        await failure(vm.suspend());
        assert.equal(vm.info.state, was);
        await settled(house);
        if (was === 'Paused') await vm.resume();
        await goesOn(vm, 1);
        await vm.suspend();
        await settled(house);
      });
    }
  }

  for (const point of ['save.memory', 'save.devices', 'save.update'] as const) {
    it(`because the VMM crashes at ${point} leaves a stopped VM, with the reason`, async () => {
      await using house = await House.open();
      const vm = await countingVm(house);
      house.host.faults.inject(point, { effect: 'crash' });
      await failure(vm.suspend());
      await vm.waitFor('Stopped', { timeoutMs: 2000 });
      await settled(house);
      assert.equal(vm.info.exit?.vmm?.signal, 'SIGSEGV');
      assert.equal((await vm.start()).state, 'Running');
    });

    it(`because it is cancelled at ${point} leaves a VM running`, async () => {
      await using house = await House.open();
      const vm = await countingVm(house);
      const cancel = new AbortController();
      house.host.faults.inject(point, { effect: 'hang' });
      const struck = house.host.faults.reached(point);
      const suspend = failure(vm.suspend({ signal: cancel.signal }));
      await struck;
      cancel.abort();
      assert.equal((await suspend).code, 'cancelled');
      assert.equal(vm.info.state, 'Running');
      await settled(house);
      await goesOn(vm, 1);
    });
  }

  for (const was of ['Running', 'Paused'] as const) {
    it(`because it is cancelled when its memory is complete leaves a VM ${was}`, async () => {
      await using house = await House.open();
      const vm = await countingVm(house);
      if (was === 'Paused') await vm.pause();
      const cancel = new AbortController();
      const onProgress = ({ stage }: { stage: string }) => void (stage === 'saved' && cancel.abort());
      assert.equal((await failure(vm.suspend({ signal: cancel.signal, onProgress }))).code, 'cancelled');
      assert.equal(vm.info.state, was);
      assert.equal(house.host.find(house.dir(vm.id))?.status, was.toLowerCase());
      await settled(house);
      if (was === 'Paused') await vm.resume();
      await goesOn(vm, 1);
    });

    it(`because its record can not be written leaves a VM ${was}`, async () => {
      await using house = await House.open();
      const vm = await countingVm(house);
      if (was === 'Paused') await vm.pause();
      const mend = house.refuse('UPDATE', 'instances');
      await failure(vm.suspend());
      mend();
      assert.equal(vm.info.state, was);
      assert.equal(house.host.find(house.dir(vm.id))?.status, was.toLowerCase());
      await settled(house);
      if (was === 'Paused') await vm.resume();
      await goesOn(vm, 1);
      await vm.suspend();
      await settled(house);
    });
  }

  it('because a forced delete cuts it short leaves nothing', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    house.host.faults.inject('save.update', { effect: 'hang' });
    const struck = house.host.faults.reached('save.update');
    const suspend = failure(vm.suspend());
    await struck;
    await vm.delete({ force: true });
    assert.equal((await suspend).code, 'cancelled');
    assert.deepEqual(await readdir(path.join(house.home, 'instances')), []);
    assert.deepEqual(house.host.alive(), []);
  });

  it('because its VMM can not be ended is finished by the next daemon', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    await killedAt(house, 'kill', () => vm.suspend());
    const again = await house.engine.get(vm.id);
    assert.equal(again.info.state, 'Suspended');
    await settled(house);
    await again.start();
    await goesOn(again, 1);
  });

  it('does not need an agent that answers', async () => {
    await using house = await House.open();
    const vm = await countingVm(house);
    house.host.guest(house.dir(vm.id)).faults.errors.set('freeze', { code: 'guest_error', message: 'no' });
    await vm.suspend();
    assert.equal((await vm.start()).state, 'Running');
    await goesOn(vm, 1);
    await settled(house);
  });
});

describe('a start from saved memory that fails', () => {
  for (const point of restoreSteps) {
    for (const effect of point === 'launch.before-spawn'
      ? (['error'] as const)
      : (['error', 'crash'] as const)) {
      it(`at ${point} (${effect}) leaves it suspended, and works the next time`, async () => {
        await using house = await House.open();
        const vm = await suspended(house);
        house.host.faults.inject(point, { effect });
        await failure(vm.start());
        assert.equal(vm.info.state, 'Suspended');
        await settled(house);
        await vm.start();
        await goesOn(vm, 1);
        await settled(house);
      });
    }
  }

  for (const method of ['identity', 'thaw', 'workload.status']) {
    it(`because the agent refuses ${method} leaves it suspended`, async () => {
      await using house = await House.open();
      const vm = await suspended(house);
      house.host.onGuest = (guest) => guest.faults.errors.set(method, { code: 'guest_error', message: 'no' });
      await failure(vm.start());
      house.host.onGuest = undefined;
      assert.equal(vm.info.state, 'Suspended');
      await settled(house);
      await vm.start();
      await goesOn(vm, 1);
    });
  }

  it('because a stop cuts it short leaves it suspended', async () => {
    for (const point of restoreSteps) {
      await using house = await House.open();
      const vm = await suspended(house);
      house.host.faults.inject(point, { effect: 'hang' });
      const struck = house.host.faults.reached(point);
      const start = failure(vm.start());
      await struck;
      assert.deepEqual(await vm.stop(), { changed: true, state: 'Suspended' }, point);
      assert.equal((await start).code, 'cancelled');
      await settled(house);
      await vm.start();
      await goesOn(vm, 1);
    }
  });
});

describe('after a kill of the daemon', () => {
  for (const was of ['Running', 'Paused'] as const) {
    for (const point of saveSteps) {
      it(`in a suspend at ${point} a VM that was ${was} is so again`, async () => {
        await using house = await House.open();
        const { id } = await countingVm(house);
        if (was === 'Paused') await (await house.engine.get(id)).pause();
        await killedAt(house, point, async () => (await house.engine.get(id)).suspend());
        const vm = await house.engine.get(id);
        assert.equal(vm.info.state, was);
        await settled(house);
        if (was === 'Paused') await vm.resume();
        await goesOn(vm, 1);
        await vm.suspend();
        await settled(house);
      });
    }
  }

  for (const point of restoreSteps) {
    it(`in a start at ${point} a VM is suspended still`, async () => {
      await using house = await House.open();
      const { id } = await suspended(house);
      await killedAt(house, point, async () => (await house.engine.get(id)).start());
      const vm = await house.engine.get(id);
      assert.equal(vm.info.state, 'Suspended');
      await settled(house);
      await vm.start();
      await goesOn(vm, 1);
    });
  }

  it('in a cold start a VM is suspended still', async () => {
    await using house = await House.open();
    const { id } = await suspended(house);
    await killedAt(house, 'boot.kernel', async () => (await house.engine.get(id)).start({ cold: true }));
    const vm = await house.engine.get(id);
    assert.equal(vm.info.state, 'Suspended');
    await settled(house);
    await vm.start();
    await goesOn(vm, 1);
  });
});
