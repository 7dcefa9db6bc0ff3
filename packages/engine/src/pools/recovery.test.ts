import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FaultPointName } from '../drivers/simulated/faults.ts';
import { failure, type House } from '../instances/fixtures/house.ts';
import { simulatedParts } from '../parts.ts';
import { fullPool, happened, members, nothingBut, past, poolHouse } from './fixtures/pool-house.ts';

/** A call of a daemon that is killed is answered by nobody. */
function cutOff(call: PromiseLike<unknown>): void {
  call.then(undefined, () => undefined);
}

async function poolAgain(house: House) {
  return house.engine.pools.get('p');
}

describe('after the daemon was killed', () => {
  for (const stage of ['running', 'stopped'] as const) {
    it(`a pool of ${stage} VMs has those it had, and makes none`, async () => {
      const { house } = await poolHouse();
      await using _house = house;
      await fullPool(house, { stage, size: 3 });
      const before = (await members(house)).map(({ id }) => id);
      await house.reopen();
      const pool = await poolAgain(house);
      assert.deepEqual([pool.info.ready, pool.info.health, pool.info.size], [3, 'full', 3]);
      assert.deepEqual(
        (await members(house)).map(({ id }) => id),
        before,
      );
      assert.ok(before.includes((await pool.acquire()).id));
      assert.ok(!(await past(pool)).some(({ type }) => type === 'creating'));
    });
  }

  it('what was acquired is still acquired, is handed to nobody else, and is replaced when it goes', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const { id } = await (await fullPool(house)).acquire();
    await house.reopen();
    const pool = await poolAgain(house);
    assert.deepEqual([pool.info.ready, pool.info.acquired], [1, 1]);
    assert.equal((await house.engine.get(id)).info.pool, 'p');
    assert.notEqual((await pool.acquire()).id, id);
    await pool.release(id);
    assert.notEqual((await pool.acquire()).id, id);
    await nothingBut(house, 2);
  });

  it('a VM that died meanwhile is lost, and replaced', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    await fullPool(house);
    const [one] = await members(house);
    assert.ok(one);
    await house.kill();
    house.host.crash(house.dir(one.id));
    await house.open();
    const pool = await poolAgain(house);
    assert.equal((await happened(pool, 'lost')).instanceId, one.id);
    await happened(pool, 'full');
    await nothingBut(house, 2);
  });

  it('an acquired VM that died meanwhile is replaced once, however many daemons come', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const { id } = await (await fullPool(house, { size: 1 })).acquire();
    await house.kill();
    house.host.crash(house.dir(id));
    await house.open();
    await happened(await poolAgain(house), 'full');
    await (await house.engine.get(id)).start();
    await house.reopen();
    const pool = await poolAgain(house);
    assert.deepEqual([pool.info.ready, pool.info.acquired, pool.info.health], [1, 0, 'full']);
    await pool.release(id);
    await nothingBut(house, 1);
  });

  for (const point of [
    'launch.before-spawn',
    'launch.after-spawn',
    'launch.before-ready',
    'boot.kernel',
    'boot.init',
    'open.control',
  ] satisfies FaultPointName[]) {
    it(`at ${point} of a fill, nothing is left of what was half made, and the pool is filled`, async () => {
      const { house } = await poolHouse();
      await using _house = house;
      house.host.faults.inject(point, { effect: 'hang' });
      const struck = house.host.faults.reached(point);
      cutOff(house.engine.pools.create('p', { image: 'busybox', size: 3, wait: false }));
      await struck;
      await house.kill();
      house.host.faults.clear();
      await house.open();
      await happened(await poolAgain(house), 'full');
      await nothingBut(house, 3);
    });
  }

  it('while a disk is being made, too', async () => {
    const struck = Promise.withResolvers<void>();
    let hangs = true;
    const create = async () => {
      if (!hangs) return;
      struck.resolve();
      await new Promise(() => undefined);
    };
    const disks = { ...(await simulatedParts()).disks, create };
    const { house } = await poolHouse({ disks });
    await using _house = house;
    cutOff(house.engine.pools.create('p', { image: 'busybox', wait: false }));
    await struck.promise;
    hangs = false;
    await house.reopen();
    await happened(await poolAgain(house), 'full');
    await nothingBut(house, 2);
  });

  it('while somebody still waited for its first VM, there is no pool', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('boot.init', { effect: 'hang' }, { times: 2 });
    const struck = house.host.faults.reached('boot.init');
    cutOff(house.engine.pools.create('p', { image: 'busybox' }));
    await struck;
    await house.reopen();
    for await (const _event of (await poolAgain(house)).events({ since: 0 }));
    assert.deepEqual(await house.engine.pools.list(), []);
    await nothingBut(house, 0);
  });

  it('while somebody still waited for its first VM, and asks again at once, there is one', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const struck = house.host.faults.reached('boot.init');
    cutOff(house.engine.pools.create('p', { image: 'busybox' }));
    await struck;
    house.host.faults.clear();
    await house.reopen();
    assert.ok((await house.engine.pools.list()).length > 0, 'the old one is still on its way out');
    await house.engine.pools.create('p', { image: 'busybox', size: 1 });
    await nothingBut(house, 1);
  });

  it('in the middle of a removal, it is finished', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { size: 3 });
    const { id } = await pool.acquire();
    house.host.faults.inject('kill', { effect: 'hang' });
    const struck = house.host.faults.reached('kill');
    cutOff(pool.remove({ keepAcquired: true }));
    await struck;
    await house.reopen();
    const again = await poolAgain(house);
    assert.equal((await failure(again.acquire())).code, 'not_found');
    for await (const _event of again.events({ since: 0 }));
    assert.deepEqual(
      (await members(house)).map((info) => info.id),
      [id],
    );
    assert.deepEqual(await house.engine.pools.list(), []);
  });

  it('a VM that can not be looked at is handed out as soon as it can be', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    await fullPool(house, { size: 1 });
    const [one] = await members(house);
    house.host.faults.inject('adopt', { effect: 'error' });
    await house.reopen();
    const pool = await poolAgain(house);
    assert.equal(pool.info.ready, 0);
    assert.equal((await pool.acquire()).id, one?.id);
  });

  it('a VM that can not be looked at for too long is replaced', async () => {
    const { house, clock } = await poolHouse();
    await using _house = house;
    await fullPool(house, { size: 1 });
    house.host.faults.inject('adopt', { effect: 'error' });
    await house.reopen();
    const pool = await poolAgain(house);
    clock.advance(120_000);
    await happened(pool, 'lost');
    await happened(pool, 'full');
    await nothingBut(house, 1);
  });
});

describe('a daemon that is killed in an acquire', () => {
  it('after the mark has handed the VM out: it is listed as acquired, and nobody else gets it', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house, { stage: 'stopped' });
    house.host.faults.inject('launch.before-spawn', { effect: 'hang' });
    const struck = house.host.faults.reached('launch.before-spawn');
    cutOff(pool.acquire());
    await struck;
    await house.reopen();
    const found = (await members(house)).filter((info) => info.pool === 'p' && info.acquiredAt !== undefined);
    assert.equal(found.length, 1);
    const again = await poolAgain(house);
    assert.deepEqual([again.info.ready, again.info.acquired], [1, 1]);
    assert.notEqual((await again.acquire()).id, found[0]?.id);
    await again.release(found[0]?.id ?? '');
    await happened(again, 'ready');
    await nothingBut(house, 2, 1);
  });

  it('before the mark is written has handed out nothing', async () => {
    const { house } = await poolHouse();
    await using _house = house;
    const pool = await fullPool(house);
    cutOff(pool.acquire());
    await house.reopen();
    const again = await poolAgain(house);
    assert.deepEqual([again.info.ready, again.info.acquired], [2, 0]);
    const ids = await Promise.all([again.acquire(), again.acquire()]);
    assert.equal(new Set(ids.map(({ id }) => id)).size, 2);
  });
});
