import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import { simulatedParts } from '../parts.ts';
import type { RootDisks } from './context.ts';
import { countingVm, goesOn, settled } from './fixtures/copying.ts';
import { House } from './fixtures/house.ts';

describe('a fork whose first copy is begun with it', () => {
  for (const state of ['running', 'paused'] as const) {
    it(`to ${state} has the VMM of its first copy while its source is still being saved`, async () => {
      await using house = await House.open();
      const source = await countingVm(house);
      const { faults } = house.host;
      faults.inject('save.devices', { effect: 'hang' });
      faults.inject('launch.after-spawn', { effect: 'delay', milliseconds: 0 });
      const [saving, launched] = [faults.reached('save.devices'), faults.reached('launch.after-spawn')];
      const fork = source.fork({ count: 3, name: 'copy-%d', state });
      await Promise.all([saving, launched]);
      const [copy, ...others] = house.host.alive().filter(({ spec }) => spec.instanceId !== source.id);
      assert.deepEqual([copy?.status, others.length], ['created', 0]);
      faults.clear();
      assert.equal((await fork)[0]?.id, copy?.spec.instanceId);
      for (const each of await fork) {
        if (state === 'paused') await each.resume();
        await goesOn(each, 1);
      }
      await goesOn(source, 1);
      await settled(house);
    });
  }

  it('saves and lets go of its source though its first copy hangs before it has a VMM', async () => {
    await using house = await House.open();
    const source = await countingVm(house);
    house.host.faults.inject('launch.before-spawn', { effect: 'hang' });
    const fork = source.fork();
    await house.host.faults.reached('launch.before-spawn');
    while ((await source.refresh()).operation !== undefined) await turn();
    await goesOn(source, 1);
    house.host.faults.clear();
    await fork;
    await settled(house);
  });

  it('whose layer that is written can not be named elsewhere is made once it is saved', async () => {
    const { disks } = await simulatedParts();
    const copied: boolean[] = [];
    const copy: RootDisks['copy'] = async (from, to, { prepared = false } = {}) => {
      copied.push(prepared);
      if (prepared) throw new VivError('not_supported', 'on another file system');
      await disks.copy(from, to);
    };
    await using house = await House.open('daemon', { disks: { ...disks, copy } });
    const source = await countingVm(house);
    const [made] = await source.fork();
    assert.ok(made);
    await goesOn(made, 1);
    assert.deepEqual(copied, [true, false, false]);
    await settled(house);
  });

  it('has the disk of its source as it is until the pause, which waits for that', async () => {
    const { disks } = await simulatedParts();
    const order: string[] = [];
    const slow: RootDisks = {
      ...disks,
      copy: async (from, to, options) => {
        // Longer than a save waits for the VMM of a copy.
        if (options?.prepared) await delay(200);
        await disks.copy(from, to, options);
        order.push(options?.prepared ? 'copied' : 'kept');
      },
      commitLayer: async (dir) => {
        order.push('new top');
        await disks.commitLayer(dir);
      },
    };
    await using house = await House.open('daemon', { disks: slow });
    const source = await countingVm(house);
    const [copy] = await source.fork();
    assert.ok(copy);
    await goesOn(copy, 1);
    assert.deepEqual(order, ['copied', 'new top', 'kept']);
    await settled(house);
  });

  for (const [what, looks, layers, copies] of [
    ['needs no layer where nothing was written above the last', [true, true], 0, [false, false]],
    [
      'gets one at the last moment where something was written, and its first copy is made again',
      [true, false],
      1,
      [false, false, false],
    ],
  ] as const) {
    it(`${what}`, async () => {
      const { disks } = await simulatedParts();
      const [answers, made]: [boolean[], string[]] = [[...looks], []];
      const copied: boolean[] = [];
      const counted: RootDisks = {
        ...disks,
        isTopNew: async () => answers.shift() ?? true,
        newLayer: (dir) => {
          made.push('layer');
          return disks.newLayer(dir);
        },
        commitLayer: async (dir) => {
          made.push('committed');
          await disks.commitLayer(dir);
        },
        copy: async (from, to, { prepared = false } = {}) => {
          copied.push(prepared);
          await disks.copy(from, to);
        },
      };
      await using house = await House.open('daemon', { disks: counted });
      const source = await countingVm(house);
      const [copy] = await source.fork({ name: 'copy' });
      assert.ok(copy);
      await goesOn(copy, 1);
      await goesOn(source, 1);
      assert.equal(made.length, layers * 2);
      assert.deepEqual(copied, copies);
      assert.equal((await house.engine.list()).items.length, 2);
      await settled(house);
    });
  }
});
