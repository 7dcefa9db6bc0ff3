import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PoolOptions, PoolStage } from '@vivarium/model';
import { SimulatedDriver, SimulatedHost } from '../drivers/simulated/index.ts';
import { failure } from '../instances/fixtures/house.ts';
import { fullPool, happened, members, nothingBut, past, poolHouse } from './fixtures/pool-house.ts';

describe('a pool', () => {
  for (const [stage, state] of [
    ['running', 'Running'],
    ['stopped', 'Stopped'],
  ] as const) {
    it(`keeps its VMs ${stage}, and hands out running ones`, async () => {
      const { house } = await poolHouse();
      await using _house = house;
      const pool = await fullPool(house, { stage });
      assert.deepEqual(
        (await members(house)).map((info) => [info.state, info.pool, info.acquiredAt]),
        [
          [state, 'p', undefined],
          [state, 'p', undefined],
        ],
      );
      const vm = await pool.acquire();
      assert.equal(vm.info.state, 'Running');
      assert.ok(vm.info.acquiredAt);
      assert.equal((await vm.exec(['echo', 'mine'])).stdout, 'mine\n');
    });
  }

  it('keeps them stopped where they should be suspended and the driver can not save memory', async () => {
    const driver = new SimulatedDriver(new SimulatedHost({ logs: 'none' }));
    const { capabilities } = driver;
    driver.capabilities = () => ({ ...capabilities.call(driver), save: false });
    const { house } = await poolHouse({ driver });
    await using _house = house;
    const pool = await fullPool(house, { stage: 'suspended' satisfies PoolStage });
    assert.equal(pool.info.stage, 'stopped');
    assert.deepEqual(
      (await members(house)).map(({ state }) => state),
      ['Stopped', 'Stopped'],
    );
    assert.equal((await pool.acquire()).info.state, 'Running');
  });

  it('is created with its first VM ready, and fills in the background', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('boot.init', { effect: 'hang' });
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const pool = await house.engine.pools.create('p', { image: 'busybox', size: 3 });
    assert.deepEqual([pool.info.ready, pool.info.creating, pool.info.health], [1, 2, 'filling']);
    house.host.faults.clear();
    await happened(pool, 'full');
    assert.deepEqual([pool.info.ready, pool.info.creating, pool.info.health], [3, 0, 'full']);
  });

  it('is there at once where nobody wants to wait', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await house.engine.pools.create('p', { image: 'busybox', wait: false });
    assert.equal(pool.info.ready, 0);
    await happened(pool, 'full');
  });

  it('of twenty fills a few at a time', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 20 });
    let [making, most] = [0, 0];
    for (const { type } of await past(pool)) {
      if (type === 'creating') making += 1;
      if (type === 'ready') making -= 1;
      most = Math.max(most, making);
    }
    assert.equal(most, 3);
    await nothingBut(house, 20);
    await pool.remove();
    await nothingBut(house, 0);
  });

  it('hands each VM out once, makes no more than its size, and replaces what is deleted', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    const [one, two] = await Promise.all([pool.acquire(), pool.acquire()]);
    assert.notEqual(one.id, two.id);
    assert.deepEqual([pool.info.ready, pool.info.acquired, pool.info.health], [0, 2, 'full']);
    await one.delete({ force: true });
    const three = await pool.acquire();
    assert.ok(![one.id, two.id].includes(three.id));
    await nothingBut(house, 2);
  });

  it('has what is released replaced once, and what leaves its scope too', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    await pool.release((await pool.acquire()).name);
    await happened(pool, 'full', 2);
    {
      await using vm = await pool.acquire();
      assert.equal(vm.info.state, 'Running');
    }
    await happened(pool, 'full', 3);
    await nothingBut(house, 2);
    assert.equal((await past(pool)).filter(({ type }) => type === 'creating').length, 4);
  });

  it('releases nothing that was not acquired of it', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const [ready] = await members(house);
    assert.equal((await failure(pool.release(ready?.id ?? ''))).code, 'invalid_state');
    const other = await house.engine.run('busybox');
    assert.equal((await failure(pool.release(other.id))).code, 'not_found');
    await nothingBut(house, 2);
  });

  it('is found by its name, listed, and gone when it is removed', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    assert.equal((await house.engine.pools.get('p')).name, 'p');
    assert.deepEqual(await house.engine.pools.list(), [pool.info]);
    assert.equal(pool.info.image, 'docker.io/library/busybox:latest');
    const again = failure(house.engine.pools.create('p', { image: 'busybox' }));
    assert.equal((await again).code, 'name_conflict');
    await pool.acquire();
    await Promise.all([pool.remove(), pool.remove()]);
    await nothingBut(house, 0);
    assert.equal((await failure(house.engine.pools.get('p'))).code, 'not_found');
    assert.equal((await failure(pool.refresh())).code, 'not_found');
    assert.equal((await failure(pool.acquire())).code, 'not_found');
    await fullPool(house);
  });

  it('leaves what was acquired to its holder when it is asked to', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    const vm = await pool.acquire();
    await pool.remove({ keepAcquired: true });
    assert.deepEqual(
      (await members(house)).map(({ id }) => id),
      [vm.id],
    );
    assert.equal((await vm.exec(['echo', 'mine'])).stdout, 'mine\n');
    const next = await fullPool(house);
    assert.equal(next.info.acquired, 0);
    assert.equal((await failure(next.release(vm.id))).code, 'not_found');
  });

  for (const [what, options, code] of [
    ['a size of nothing', { size: 0 }, 'invalid_request'],
    ['a size past all bounds', { size: 1001 }, 'invalid_request'],
    ['a stage that is none', { stage: 'asleep' as PoolStage }, 'invalid_request'],
    ['no time', { creationTimeoutMs: 0 }, 'invalid_request'],
    ['too little memory', { memory: '8MB' }, 'invalid_size'],
    ['a reference that is none', { image: 'Not A Reference' }, 'invalid_reference'],
    ['one port for many', { ports: [{ guestPort: 80, hostPort: 8080 }] }, 'invalid_request'],
    ['a name for many', { name: 'x' } as Partial<PoolOptions>, 'invalid_request'],
  ] as const) {
    it(`of ${what} is refused, and nothing is left`, async () => {
      const { house } = await poolHouse();
      await using _house = house;
      const error = await failure(
        house.engine.pools.create('p', { image: 'busybox', ...options } as PoolOptions),
      );
      assert.equal(error.code, code);
      assert.deepEqual(await house.engine.pools.list(), []);
    });
  }
});

describe('the events of a pool', () => {
  it('tell what happened, by number', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const vm = await pool.acquire();
    await vm.delete({ force: true });
    await happened(pool, 'full', 2);
    const seen = await past(pool);
    assert.deepEqual(
      seen.map(({ type }) => type),
      ['created', 'creating', 'ready', 'full', 'acquired', 'released', 'creating', 'ready', 'full'],
    );
    assert.deepEqual(
      seen.map(({ seq }) => seq - (seen[0]?.seq ?? 0)),
      seen.map((_, index) => index),
    );
    const third = pool.events({ since: seen[1]?.seq ?? 0 })[Symbol.asyncIterator]();
    assert.deepEqual((await third.next()).value, seen[2]);
    await third.return?.();
  });

  it('end with the pool', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    const types: string[] = [];
    const all = pool.events();
    await pool.remove();
    for await (const { type } of all) types.push(type);
    assert.deepEqual(types, ['closing', 'closed']);
  });
});
