import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Fault, FaultPointName } from '../drivers/simulated/faults.ts';
import { failure } from '../instances/fixtures/house.ts';
import { simulatedParts } from '../parts.ts';
import { fullPool, happened, members, nothingBut, past, poolHouse } from './fixtures/pool-house.ts';

const forEver = { times: Number.POSITIVE_INFINITY };

describe('a pool whose VM can not be made', () => {
  const faults: [FaultPointName, Fault][] = [
    ['launch.before-spawn', { effect: 'error' }],
    ['launch.after-spawn', { effect: 'crash' }],
    ['boot.init', { effect: 'panic' }],
    ['open.control', { effect: 'error' }],
  ];
  for (const [point, fault] of faults) {
    it(`because of ${point} leaves nothing of it, and makes another one after a pause`, async () => {
      const { house, clock } = await poolHouse();
      await using _house = house;
      house.host.faults.inject(point, fault);
      const creating = house.engine.pools.create('p', { image: 'busybox', size: 1 });
      const pool = await house.engine.pools.get('p');
      await happened(pool, 'backing-off');
      await nothingBut(house, 0);
      assert.equal(pool.info.health, 'failing');
      clock.advance(1000);
      await creating;
      await nothingBut(house, 1);
      assert.equal(pool.info.health, 'full');
      assert.equal(pool.info.lastError, undefined);
      await happened(pool, 'recovered');
    });
  }

  it('because its disk can not be made leaves nothing either', async () => {
    let left = 1;
    const create = async () => {
      if (left-- > 0) throw new Error('no disk');
    };
    const disks = { ...(await simulatedParts()).disks, create };
    const { house, clock } = await poolHouse({ disks });
    await using _house = house;
    const pool = await house.engine.pools.create('p', { image: 'busybox', size: 1, wait: false });
    await happened(pool, 'backing-off');
    await nothingBut(house, 0);
    clock.advance(1000);
    await happened(pool, 'full');
  });

  it('waits longer each time, never gives up, and is full when the cause is gone', async () => {
    const { house, clock } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('launch.before-spawn', { effect: 'error' }, forEver);
    const pool = await house.engine.pools.create('p', { image: 'busybox', size: 4, wait: false });
    const pauses: unknown[] = [];
    for (let n = 1; n <= 9; n += 1) {
      const { data } = await happened(pool, 'backing-off', n);
      pauses.push(data.milliseconds);
      assert.equal(pool.info.lastError?.attempts, n);
      assert.equal(pool.info.lastError?.code, 'vmm_failed');
      assert.equal(pool.info.lastError?.retryAt, data.retryAt);
      if (n === 1) await happened(pool, 'creation-failed', 3);
      clock.advance(Number(data.milliseconds));
    }
    assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    // Three at first; then one at a time, to see whether it still fails.
    assert.equal((await past(pool)).filter(({ type }) => type === 'creating').length, 3 + 9);
    await happened(pool, 'backing-off', 10);
    house.host.faults.clear();
    clock.advance(60_000);
    await happened(pool, 'full');
    assert.equal(pool.info.health, 'full');
    await nothingBut(house, 4);
  });

  it('tries at once for whoever comes to wait, but not more often than once a second', async () => {
    const { house, clock } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('launch.before-spawn', { effect: 'error' }, { times: 5 });
    const pool = await house.engine.pools.create('p', { image: 'busybox', size: 1, wait: false });
    for (let n = 1; n <= 4; n += 1) {
      const { data } = await happened(pool, 'backing-off', n);
      if (n < 4) clock.advance(Number(data.milliseconds));
    }
    clock.advance(1500);
    const first = pool.acquire();
    clock.advance(0);
    await happened(pool, 'backing-off', 5);
    const second = pool.acquire({ signal: AbortSignal.timeout(5000) });
    clock.advance(999);
    assert.equal(pool.info.creating, 0);
    clock.advance(1);
    const vm = await first;
    await vm.delete({ force: true });
    assert.notEqual((await second).id, vm.id);
  });

  it('cancels one that takes too long, removes what there is of it, and makes another one', async () => {
    const { house, clock } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const struck = house.host.faults.reached('boot.init');
    const options = { image: 'busybox', size: 1, creationTimeoutMs: 30_000, wait: false };
    const pool = await house.engine.pools.create('p', options);
    await struck;
    assert.equal(house.host.alive().length, 1);
    clock.advance(30_000);
    const { data } = await happened(pool, 'creation-cancelled');
    assert.equal((data.error as { code: string }).code, 'timeout');
    await happened(pool, 'backing-off');
    await nothingBut(house, 0);
    clock.advance(1000);
    await happened(pool, 'full');
    await nothingBut(house, 1);
  });

  it('keeps what can not be removed in its place, and makes the next one when it is gone', async () => {
    const { house, clock } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('open.control', { effect: 'error' });
    // The undo of the start, the stop of its deletion, and a deletion once more.
    house.host.faults.inject('kill', { effect: 'error' }, { times: 3 });
    const pool = await house.engine.pools.create('p', { image: 'busybox', size: 1, wait: false });
    await happened(pool, 'backing-off');
    assert.deepEqual(
      (await members(house)).map(({ state }) => state),
      ['Error'],
    );
    clock.advance(1000);
    await happened(pool, 'backing-off', 2);
    await nothingBut(house, 1);
    clock.advance(2000);
    await happened(pool, 'full');
    await nothingBut(house, 1);
    assert.equal((await members(house))[0]?.state, 'Running');
  });

  it('says at once what no repetition mends, and is not created', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const error = await failure(
      house.engine.pools.create('p', { image: 'busybox', cmd: ['no-such-command'] }),
    );
    assert.equal(error.code, 'command_not_found');
    assert.deepEqual(await house.engine.pools.list(), []);
    await nothingBut(house, 0);
  });

  it('is not created when its creator goes away', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('boot.init', { effect: 'hang' }, forEver);
    const struck = house.host.faults.reached('boot.init');
    const gone = new AbortController();
    const creating = failure(house.engine.pools.create('p', { image: 'busybox', signal: gone.signal }));
    await struck;
    gone.abort();
    assert.equal((await creating).code, 'cancelled');
    assert.deepEqual(await house.engine.pools.list(), []);
    await nothingBut(house, 0);
  });
});

describe('a ready VM that dies', () => {
  it('is noticed, removed, and replaced at once', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    const [one] = await members(house);
    assert.ok(one);
    house.host.crash(house.dir(one.id));
    assert.equal((await happened(pool, 'lost')).instanceId, one.id);
    await happened(pool, 'full', 2);
    assert.ok(!(await members(house)).some(({ id }) => id === one.id));
    await nothingBut(house, 2);
  });

  it('soon and again and again is made anew ever later, though each one was ready', async () => {
    const { house, clock } = await poolHouse();
    await using _house = house;
    const options = { image: 'busybox', size: 1, cmd: ['sh', '-c', 'exit 1'], wait: false };
    const pool = await house.engine.pools.create('p', options);
    const pauses: unknown[] = [];
    for (let n = 1; n <= 4; n += 1) {
      const { data } = await happened(pool, 'backing-off', n);
      pauses.push(data.milliseconds);
      await happened(pool, 'lost', n + 1);
      clock.advance(Number(data.milliseconds));
    }
    assert.deepEqual(pauses, [1000, 2000, 4000, 8000]);
  });

  it('is replaced when somebody deletes or stops it behind the pool', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    const [one, two] = await members(house);
    await (await house.engine.get(one?.id ?? '')).delete({ force: true });
    await (await house.engine.get(two?.id ?? '')).stop({ force: true });
    await happened(pool, 'ready', 4);
    await happened(pool, 'lost', 2);
    await nothingBut(house, 2);
    assert.equal(pool.info.ready, 2);
  });

  it('under the hand that takes it is not the one that is handed out', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { stage: 'stopped', size: 1 });
    house.host.faults.inject('boot.init', { effect: 'panic' });
    const vm = await pool.acquire();
    assert.equal((await vm.exec(['echo', 'well'])).stdout, 'well\n');
    await happened(pool, 'lost');
    await nothingBut(house, 1);
  });

  it('is told of after three that do not start', async () => {
    const { house, clock } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { stage: 'stopped', size: 3 });
    house.host.faults.inject('boot.init', { effect: 'panic' }, { times: 3 });
    assert.equal((await failure(pool.acquire())).code, 'guest_panicked');
    await happened(pool, 'backing-off');
    clock.advance(60_000);
    await happened(pool, 'ready', 6);
    await nothingBut(house, 3, 0);
  });
});

describe('an acquired VM that ends', () => {
  it('by itself is replaced once, and stays to be looked at', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const vm = await pool.acquire();
    house.host.crash(house.dir(vm.id));
    await happened(pool, 'full', 2);
    assert.equal(pool.info.acquired, 0);
    await nothingBut(house, 2, 1);
    assert.equal((await vm.refresh()).exit?.reason, 'vmm_exited');
    await vm.start();
    await pool.release(vm.id);
    await nothingBut(house, 1);
    assert.equal((await past(pool)).filter(({ type }) => type === 'creating').length, 2);
    assert.equal((await past(pool)).filter(({ type }) => type === 'released').length, 1);
  });

  it('because its holder stops or restarts it is still his', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 1 });
    const vm = await pool.acquire();
    await vm.restart({ timeoutMs: 20 });
    await vm.stop({ force: true });
    assert.equal(pool.info.acquired, 1);
    await vm.start();
    await nothingBut(house, 1);
  });
});
