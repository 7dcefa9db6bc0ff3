import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Vm } from '@vivarium/model';
import { failure } from '../instances/fixtures/house.ts';
import { ServiceHouse, settled } from './fixtures/service-house.ts';

let service: ServiceHouse;
beforeEach(async () => {
  service = await ServiceHouse.open();
});
afterEach(async () => {
  await service[Symbol.asyncDispose]();
});

const hour = 3_600_000;
const make = (options: { ttlMs?: number; expiresAt?: string } = {}) =>
  service.engine.create({ image: 'busybox', ...options });

async function gone(vm: Vm): Promise<boolean> {
  try {
    await service.engine.get(vm.id);
    return false;
  } catch {
    return true;
  }
}

/** Time passes in steps that no timer is longer than. */
async function pass(milliseconds: number): Promise<void> {
  for (let left = milliseconds; left > 0; left -= 10_000) {
    service.clock.advance(Math.min(left, 10_000));
    await settled();
  }
}

describe('an instance that expires', () => {
  it('is deleted when its time is over, running or not, and not before', async () => {
    const stopped = await make({ ttlMs: 60_000 });
    const running = await service.engine.run('busybox', { ttlMs: 60_000 });
    const kept = await make({ ttlMs: 0 });
    assert.equal(stopped.info.expiresAt, new Date(service.clock.now() + 60_000).toISOString());
    assert.equal(kept.info.expiresAt, undefined);
    await pass(59_999);
    assert.equal(await gone(stopped), false);
    const both = Promise.all([stopped, running].map((vm) => service.happened(vm, 'deleted')));
    service.clock.advance(1);
    await both;
    assert.deepEqual([await gone(stopped), await gone(running), await gone(kept)], [true, true, false]);
    assert.equal(service.house.host.alive().length, 0);
  });

  it('takes a time instead of a span, and never both or one that has passed', async () => {
    const at = new Date(service.clock.now() + hour).toISOString();
    const vm = await make({ expiresAt: at });
    assert.equal(vm.info.expiresAt, at);
    const before = new Date(service.clock.now()).toISOString();
    for (const wrong of [
      { ttlMs: 1, expiresAt: at },
      { expiresAt: before },
      { expiresAt: 'soon' },
      { ttlMs: -1 },
    ]) {
      assert.equal((await failure(make(wrong))).code, 'invalid_request');
    }
  });

  it('lives longer where its time is prolonged, for ever with 0, and can not be saved once it is over', async () => {
    const [longer, ever, late] = [
      await make({ ttlMs: 20_000 }),
      await make({ ttlMs: 20_000 }),
      await make({ ttlMs: 20_000 }),
    ];
    await longer.update({ ttlMs: hour });
    await ever.update({ ttlMs: 0 });
    service.clock.advance(20_000);
    assert.equal((await failure(late.update({ ttlMs: hour }))).code, 'invalid_state');
    await service.happened(late, 'deleted');
    await pass(60_000);
    assert.deepEqual([await gone(longer), await gone(ever)], [false, false]);
    assert.equal(ever.info.expiresAt, undefined);
  });

  it('leaves its copies alone', async () => {
    const vm = await make({ ttlMs: 60_000 });
    const [copy] = await vm.fork();
    assert.ok(copy);
    assert.equal(copy.info.expiresAt, undefined);
  });

  it('is deleted though others can not be, which are tried again later each time', async () => {
    const stuck = await service.engine.run('busybox', { ttlMs: 60_000 });
    const others = await Promise.all(Array.from({ length: 40 }, () => make({ ttlMs: 60_000 })));
    const dir = service.house.dir(stuck.id);
    service.house.host.faults.inject('kill', { effect: 'error' }, { dir, times: 2 });
    const deleted = Promise.all(others.map((vm) => service.happened(vm, 'deleted')));
    await pass(60_000);
    await deleted;
    const first = await service.happened(stuck, 'expiry_failed');
    assert.equal(first.data.failures, 1);
    assert.equal(Date.parse(String(first.data.retryAt)) - service.clock.now(), 5000);
    const after = first.seq;
    await pass(5000);
    const second = await service.happened(stuck, 'expiry_failed', { after });
    assert.equal(second.data.failures, 2);
    assert.equal(Date.parse(String(second.data.retryAt)) - service.clock.now(), 10_000);
    const end = service.happened(stuck, 'deleted');
    await pass(10_000);
    await end;
  });

  it('holds nobody up for longer than it takes to see that it hangs', async () => {
    const stuck = await Promise.all(
      Array.from({ length: 16 }, () => service.engine.run('busybox', { ttlMs: 60_000 })),
    );
    // It waits for as long as the test does, and not for the 200 ms that a VMM has elsewhere.
    Object.assign(service.house.host, { answerMs: 60_000 });
    for (const vm of stuck) {
      const dir = service.house.dir(vm.id);
      service.house.host.faults.inject('kill', { effect: 'hang' }, { dir, times: Number.POSITIVE_INFINITY });
    }
    await pass(50_000);
    const behind = await make({ ttlMs: 10_000 });
    const deleted = service.happened(behind, 'deleted');
    await pass(20_000);
    await deleted;
    assert.equal(service.house.host.alive().length, 16);
    service.house.host.faults.clear();
    // Each is tried again when its turn comes.
    while (service.house.host.alive().length > 0) await pass(10_000);
    while ((await service.engine.list()).items.length > 0) await settled();
  });

  it('is deleted by the next daemon where its time has passed meanwhile, and after the clock was set', async () => {
    const [vm, jumped] = [await make({ ttlMs: 60_000 }), await make({ ttlMs: 10 * hour })];
    await service.house.kill();
    service.clock.advance(hour);
    await service.house.open();
    await settled();
    service.clock.advance(0);
    await service.happened(vm, 'deleted');
    service.clock.set(service.clock.now() + 20 * hour);
    const deleted = service.happened(jumped, 'deleted');
    await pass(10_000);
    await deleted;
  });
});
