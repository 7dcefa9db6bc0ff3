import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Vm } from '@vivarium/model';
import {
  commitLayer,
  createRootDisk,
  flattenRoot,
  minimumRootBytes,
  newLayerFor,
  planMerge,
  rootLayers,
  settleLayer,
  shareLayers,
} from '../disks/index.ts';
import { simulatedParts } from '../parts.ts';
import type { RootDisks } from './context.ts';
import { failure, House } from './fixtures/house.ts';

/** Disks of simulated VMs that are files all the same, and a merge of them that can be held. */
class Disks {
  begun = 0;
  cutOff = 0;
  merged = 0;
  settled = 0;
  hold = false;
  readonly #looks = new Set<() => void>();

  async parts(): Promise<{ disks: RootDisks }> {
    const { disks } = await simulatedParts();
    return {
      disks: {
        ...disks,
        create: async (dir) => {
          await createRootDisk({
            path: disks.path(dir),
            bytes: minimumRootBytes,
            bases: path.join(dir, '../../disks'),
          });
        },
        newLayer: newLayerFor,
        // Its guests are busy, as if they wrote to it all the time.
        isTopNew: async () => false,
        commitLayer,
        planMerge,
        settleLayer: async (dir, liveTop) => {
          this.settled += 1;
          await settleLayer(dir, liveTop);
        },
        copy: (from, to, { prepared } = {}) => shareLayers(from, to, { top: prepared ? 'prepared' : 'new' }),
        flatten: (dir, signal) => this.#flatten(dir, signal),
      },
    };
  }

  async until(look: () => boolean): Promise<void> {
    while (!look()) await new Promise<void>((resolve) => this.#looks.add(resolve));
  }

  async #flatten(dir: string, signal?: AbortSignal): Promise<void> {
    this.begun += 1;
    this.#changed();
    if (this.hold) await this.#cut(signal);
    await flattenRoot(dir, { signal });
    this.merged += 1;
    this.#changed();
  }

  async #cut(signal?: AbortSignal): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>();
    signal?.addEventListener('abort', () => {
      this.cutOff += 1;
      reject(signal.reason);
    });
    await promise;
  }

  #changed(): void {
    for (const look of this.#looks) look();
    this.#looks.clear();
  }
}

const under = async (house: House, vm: Vm): Promise<number> =>
  (await rootLayers(house.dir(vm.id))).length - 1;

async function forked(vm: Vm, times: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    const [copy] = await vm.fork();
    await copy?.delete();
  }
}

describe('the layers of a disk', () => {
  it('stay few, however often a copy is made without a pause', async () => {
    const disks = new Disks();
    await using house = await House.open('daemon', await disks.parts());
    const vm = await house.engine.create({ image: 'busybox' });
    let most = 0;
    for (let time = 0; time < 50; time++) {
      await forked(vm, 1);
      most = Math.max(most, await under(house, vm));
    }
    assert.ok(most > 5 && most <= 10, `${most}`);
  });

  it('are merged after a stop, which nobody waits for and everybody may cut off', {
    timeout: 20_000,
  }, async () => {
    const disks = new Disks();
    await using house = await House.open('daemon', await disks.parts());
    const vm = await house.engine.create({ image: 'busybox' });
    disks.hold = true;
    await forked(vm, 9);
    await disks.until(() => disks.begun > 0);
    assert.equal((await vm.refresh()).operation?.action, 'flatten');
    await vm.waitFor('Stopped');
    await failure(vm.waitFor('Running', { timeoutMs: 1 }));
    assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    assert.deepEqual([disks.begun, disks.cutOff, await under(house, vm)], [1, 1, 9]);
    disks.hold = false;
    await vm.stop();
    await disks.until(() => disks.merged > 0);
    assert.equal(await under(house, vm), 1);
  });

  it('are brought in order by the daemon after one that was killed in a merge', {
    timeout: 20_000,
  }, async () => {
    const disks = new Disks();
    await using house = await House.open('daemon', await disks.parts());
    const vm = await house.engine.create({ image: 'busybox' });
    disks.hold = true;
    await forked(vm, 9);
    await disks.until(() => disks.begun > 0);
    const { operation } = await vm.refresh();
    await house.reopen();
    assert.equal(disks.settled, 1);
    assert.equal((await house.engine.operations.get(operation?.id ?? '')).state, 'undone');
    assert.equal((await house.engine.get(vm.id)).info.state, 'Stopped');
  });
});
