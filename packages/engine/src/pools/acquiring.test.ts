import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from '../instances/fixtures/house.ts';
import { fullPool, happened, members, nothingBut, past, poolHouse } from './fixtures/pool-house.ts';

describe('acquiring', () => {
  it('ten at once starts ten at once', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 10, stage: 'stopped' });
    house.host.faults.inject('boot.init', { effect: 'hang' }, { times: 10 });
    const acquired = Array.from({ length: 10 }, () => pool.acquire());
    // All of them hang in their start: none waits for another.
    for (const { id } of await members(house)) await (await house.engine.get(id)).waitFor('Initializing');
    house.host.faults.clear();
    const ids = (await Promise.all(acquired)).map(({ id }) => id);
    assert.equal(new Set(ids).size, 10);
    assert.equal(pool.info.acquired, 10);
  });

  it('is given up at once by a signal, also where none is ready and none will be', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('launch.before-spawn', { effect: 'hang' }, { times: 2 });
    const pool = await house.engine.pools.create('p', { image: 'busybox', wait: false });
    const gone = new AbortController();
    const waiting = failure(pool.acquire({ signal: gone.signal }));
    await happened(pool, 'waiting');
    gone.abort();
    assert.equal((await waiting).code, 'cancelled');
    assert.equal((await failure(pool.acquire({ signal: AbortSignal.abort() }))).code, 'cancelled');
    assert.equal((await failure(pool.acquire({ signal: AbortSignal.timeout(1) }))).code, 'timeout');
    house.host.faults.clear();
    await happened(pool, 'full');
    assert.equal(pool.info.ready, 2);
  });

  it('serves those who wait in the order in which they came', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    let vm = await pool.acquire();
    const served: number[] = [];
    const gone = new AbortController();
    const waiting = [0, 1, 2, 3].map(async (n) => {
      const mine = await pool.acquire({ signal: n === 1 ? gone.signal : undefined });
      served.push(n);
      return mine;
    });
    gone.abort();
    await failure(waiting[1] ?? Promise.resolve());
    for (const n of [0, 2, 3]) {
      await vm.delete({ force: true });
      const next = await waiting[n];
      assert.ok(next);
      vm = next;
    }
    assert.deepEqual(served, [0, 2, 3]);
  });

  it('costs nobody his turn whose VM turned out unfit', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1, stage: 'stopped' });
    house.host.faults.inject('boot.init', { effect: 'panic' });
    const [first, second] = [pool.acquire(), pool.acquire()];
    const served = await Promise.race([first.then(() => 'first'), second.then(() => 'second')]);
    assert.equal(served, 'first');
    await (await first).delete({ force: true });
    await second;
  });

  it('that is given up while the VM starts leaves no VM behind, and has it replaced', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1, stage: 'stopped' });
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const struck = house.host.faults.reached('boot.init');
    const gone = new AbortController();
    const acquiring = failure(pool.acquire({ signal: gone.signal }));
    await struck;
    gone.abort();
    assert.equal((await acquiring).code, 'cancelled');
    await happened(pool, 'full', 2);
    assert.equal(pool.info.acquired, 0);
    await nothingBut(house, 1, 0);
  });

  it('that is given up before it is written leaves the VM ready', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const gone = new AbortController();
    const acquiring = failure(pool.acquire({ signal: gone.signal }));
    gone.abort();
    assert.equal((await acquiring).code, 'cancelled');
    assert.equal((await past(pool)).filter(({ type }) => type === 'creating').length, 1);
    const vm = await pool.acquire();
    assert.ok(vm.info.acquiredAt);
  });

  it('fails where it can not be written, and the VM is still ready', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const mend = house.refuse('UPDATE', 'operations');
    assert.equal((await failure(pool.acquire())).code, 'internal');
    mend();
    assert.deepEqual([pool.info.ready, pool.info.acquired], [1, 0]);
    assert.equal((await members(house))[0]?.acquiredAt, undefined);
    assert.equal((await pool.acquire()).info.state, 'Running');
  });

  it('is not disturbed by somebody who renames what it takes', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const [ready] = await members(house);
    const renamed = (await house.engine.get(ready?.id ?? '')).rename('mine');
    const vm = await pool.acquire();
    await renamed;
    assert.deepEqual([vm.id, vm.name], [ready?.id, 'mine']);
  });

  it('of one that somebody deletes at the same time gets another one', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const [ready] = await members(house);
    const vm = await house.engine.get(ready?.id ?? '');
    const [, acquired] = await Promise.all([vm.delete({ force: true }), pool.acquire()]);
    assert.notEqual(acquired.id, vm.id);
    assert.equal(acquired.info.state, 'Running');
    await nothingBut(house, 1);
  });
});

describe('removing a pool', () => {
  it('sends away everyone who waits, and cancels what is being made', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('boot.init', { effect: 'hang' }, { times: 2 });
    const pool = await house.engine.pools.create('p', { image: 'busybox', wait: false });
    const waiting = [1, 2, 3].map(() => failure(pool.acquire()));
    for (let n = 0; n < 2; n += 1) await happened(pool, 'creating', n + 1);
    const all = pool.events({ since: 0 });
    await pool.remove();
    assert.deepEqual(
      (await Promise.all(waiting)).map(({ code }) => code),
      ['cancelled', 'cancelled', 'cancelled'],
    );
    await nothingBut(house, 0);
    const types: string[] = [];
    for await (const { type } of all) types.push(type);
    assert.equal(types.filter((type) => type === 'creation-cancelled').length, 2);
    assert.equal(types.at(-1), 'closed');
  });

  it('while one is being handed out gives nothing away and leaves nothing', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { stage: 'stopped' });
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const struck = house.host.faults.reached('boot.init');
    const acquiring = failure(pool.acquire());
    await struck;
    await pool.remove({ keepAcquired: true });
    assert.equal((await acquiring).code, 'cancelled');
    await nothingBut(house, 0);
  });

  it('says what it could not remove, and removes it the next time', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    house.host.faults.inject('kill', { effect: 'error' });
    assert.match((await failure(pool.remove())).message, /p-[0-9a-f]{8} could not be removed/);
    await nothingBut(house, 1);
    assert.equal((await house.engine.pools.list()).length, 1);
    await pool.remove();
    await nothingBut(house, 0);
    assert.deepEqual(await house.engine.pools.list(), []);
  });
});

describe('closing the engine', () => {
  it('takes back what is being made, sends away who waits, and leaves what is ready', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const vm = await pool.acquire();
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const struck = house.host.faults.reached('boot.init');
    await vm.delete({ force: true });
    const waiting = failure(pool.acquire());
    await struck;
    await house.engine.close();
    assert.equal((await waiting).code, 'cancelled');
    assert.equal((await failure(pool.acquire())).code, 'cancelled');
    assert.deepEqual(house.host.alive(), []);
    await house.open();
    await happened(await house.engine.pools.get('p'), 'full');
    await nothingBut(house, 1);
  });
});
