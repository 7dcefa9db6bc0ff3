import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Pool, PoolInfo, PoolStage } from '@vivarium/model';
import { collect, failure } from './expect.ts';
import type { Given } from './index.ts';

/** Waits for the next events of a pool until it looks as it should. */
async function until(pool: Pool, wanted: (info: PoolInfo) => boolean): Promise<PoolInfo> {
  const controller = new AbortController();
  for await (const _ of pool.events({ since: 0, signal: controller.signal })) {
    const info = await pool.refresh();
    if (!wanted(info)) continue;
    controller.abort();
    return info;
  }
  return assert.fail('its events have ended');
}

const isFull = ({ health }: PoolInfo): boolean => health === 'full';

export function poolContract(given: Given): void {
  describe('pools', () => {
    it('are ready with their first VM, and fill up', async () => {
      const { pools } = given();
      await using pool = await pools.create('contract-full', { image: 'busybox', size: 2 });
      assert.ok(pool.info.ready >= 1);
      const { name, size, stage, ready, acquired, health } = await until(pool, isFull);
      assert.deepEqual(
        [name, size, stage, ready, acquired, health],
        ['contract-full', 2, 'running', 2, 0, 'full'],
      );
      assert.ok((await pools.list()).some((info) => info.name === 'contract-full'));
      assert.equal((await pools.get('contract-full')).name, 'contract-full');
      await failure(pools.create('contract-full', { image: 'busybox' }), 'name_conflict');
      await failure(pools.create('Not A Name', { image: 'busybox' }), 'invalid_name');
      await failure(pools.get('contract-absent'), 'not_found');
    });

    for (const stage of ['running', 'suspended', 'stopped'] as const satisfies readonly PoolStage[]) {
      it(`hand out VMs that run, from ${stage} ones too, each once`, async () => {
        const viv = given();
        await using pool = await viv.pools.create(`contract-${stage}`, { image: 'busybox', size: 2, stage });
        const [one, two] = await Promise.all([pool.acquire(), pool.acquire()]);
        assert.notEqual(one.id, two.id);
        for (const vm of [one, two]) {
          assert.deepEqual([vm.info.state, vm.info.pool], ['Running', pool.name]);
          assert.equal((await vm.exec(['echo', 'up'])).stdout, 'up\n');
        }
        assert.equal((await pool.refresh()).acquired, 2);
        await pool.release(one.name);
        await failure(viv.get(one.id), 'not_found');
        await failure(pool.release(one.name), 'not_found', 'conflict');
        const { ready, acquired } = await until(pool, isFull);
        assert.deepEqual([ready, acquired], [1, 1], 'an acquired VM has its place');
      });
    }

    it('lose a VM at the end of its scope, and make another one', async () => {
      const viv = given();
      await using pool = await viv.pools.create('contract-scope', { image: 'busybox', size: 1 });
      let id: string;
      {
        await using vm = await pool.acquire();
        id = vm.id;
      }
      await failure(viv.get(id), 'not_found');
      await using other = await pool.acquire();
      assert.notEqual(other.id, id);
    });

    it('let go of who does not wait any more', async () => {
      await using pool = await given().pools.create('contract-gone', { image: 'busybox', size: 1 });
      await failure(pool.acquire({ signal: AbortSignal.abort() }), 'cancelled');
      await using vm = await pool.acquire();
      assert.equal(vm.info.state, 'Running');
      assert.equal((await pool.refresh()).acquired, 1);
    });

    it('tell what happens, by numbers that rise, to their end', async () => {
      const pool = await given().pools.create('contract-told', { image: 'busybox', size: 1 });
      const told = collect(pool.events({ since: 0 }));
      const vm = await pool.acquire();
      await pool.release(vm.id);
      await pool.remove();
      const events = await told;
      for (const [index, { seq, pool: name }] of events.entries()) {
        assert.equal(name, 'contract-told');
        assert.ok(seq > (events[index - 1]?.seq ?? 0));
      }
      const types = events.map(({ type }) => type);
      for (const type of ['created', 'ready', 'acquired', 'released'] as const)
        assert.ok(types.includes(type), `no ${type} among ${types}`);
      assert.equal(types.at(-1), 'closed');
      assert.ok(events.some(({ type, instanceId }) => type === 'acquired' && instanceId === vm.id));
    });

    it('take their VMs along when they are removed, but for those that are to be kept', async () => {
      const viv = given();
      const pool = await viv.pools.create('contract-end', { image: 'busybox', size: 1 });
      await using kept = await pool.acquire();
      await pool.remove({ keepAcquired: true });
      await failure(viv.pools.get('contract-end'), 'not_found');
      assert.equal((await kept.refresh()).state, 'Running');
      const of = (await collect(viv.all())).filter((info) => info.pool === 'contract-end');
      assert.deepEqual(
        of.map(({ id }) => id),
        [kept.id],
      );
      const again = await viv.pools.create('contract-end', { image: 'busybox', size: 1 });
      const taken = await again.acquire();
      await again.remove();
      await failure(viv.get(taken.id), 'not_found');
      await failure(again.acquire(), 'not_found');
    });
  });
}
