import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { isVivError, type Vm } from '@vivarium/model';
import { ServiceHouse } from '../service/fixtures/service-house.ts';

const minute = 60_000;
const hour = 60 * minute;

describe('a snapshot schedule', () => {
  let service: ServiceHouse;
  let vm: Vm;
  beforeEach(async () => {
    service = await ServiceHouse.open();
    vm = await service.engine.run('busybox', { name: 'web' });
  });
  afterEach(() => service[Symbol.asyncDispose]());

  const names = async (of = vm) => (await of.snapshots.list()).map(({ name }) => name);

  /** Time passes, and what became due then has been tried. */
  async function passes(
    milliseconds: number,
    type: 'snapshot' | 'snapshot-failed' = 'snapshot',
  ): Promise<void> {
    const before = service.engine.lastEvent;
    for (let left = milliseconds; left > 0; left -= 10_000) service.clock.advance(Math.min(left, 10_000));
    await service.happened(vm, type, { after: before });
    await settled();
  }

  /** Until the try has been written down. */
  async function settled(): Promise<void> {
    const now = new Date(service.clock.now()).toISOString();
    for (;;) {
      const info = await vm.snapshots.schedule.get();
      if (info === undefined || (info.lastRunAt === now && info.nextRunAt > now)) return;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('takes one an interval, named by its time, and says when the next one is due', async () => {
    const set = await vm.snapshots.schedule.set({
      intervalMs: hour,
      namePrefix: 'hourly',
      tags: { by: 'schedule' },
      retention: { maxCount: 3 },
    });
    assert.equal(Date.parse(set.nextRunAt) - service.clock.now(), hour);
    await passes(hour);
    const [first] = await vm.snapshots.list();
    assert.deepEqual([first?.name, first?.tags], ['hourly-20260101-010000', { by: 'schedule' }]);
    const info = await vm.snapshots.schedule.get();
    assert.deepEqual([info?.lastSnapshotId, info?.lastError], [first?.id, undefined]);
    assert.equal(Date.parse(info?.nextRunAt ?? '') - service.clock.now(), hour);
    await passes(hour);
    assert.deepEqual(await names(), ['hourly-20260101-010000', 'hourly-20260101-020000']);
  });

  it('removes only its own, by their number and by their age', async () => {
    await vm.snapshots.create({ name: 'mine' });
    await vm.snapshots.schedule.set({ intervalMs: hour, retention: { maxCount: 2 } });
    for (let n = 0; n < 3; n++) await passes(hour);
    assert.deepEqual(await names(), ['mine', 'auto-20260101-020000', 'auto-20260101-030000']);
    await vm.snapshots.schedule.set({ intervalMs: hour, retention: { maxAgeMs: 90 * minute } });
    await passes(hour);
    assert.deepEqual(await names(), ['mine', 'auto-20260101-030000', 'auto-20260101-040000']);
    await vm.snapshots.schedule.remove();
    await vm.snapshots.schedule.set({ intervalMs: hour, retention: { maxCount: 1 } });
    await passes(hour);
    assert.equal((await names()).length, 4);
  });

  it('tells of a failure, tries again a minute later, and then goes on by its interval', async () => {
    await vm.snapshots.schedule.set({ intervalMs: hour, retention: { maxCount: 2 } });
    service.house.host.faults.inject('save.memory', {
      effect: 'error',
      code: 'disk_full',
      message: 'the disk is full',
    });
    await passes(hour, 'snapshot-failed');
    const failed = await vm.snapshots.schedule.get();
    assert.match(failed?.lastError?.message ?? '', /disk is full/);
    assert.equal(Date.parse(failed?.nextRunAt ?? '') - service.clock.now(), minute);
    await passes(minute);
    const info = await vm.snapshots.schedule.get();
    assert.deepEqual([info?.lastError, (await names()).length], [undefined, 1]);
    assert.equal(Date.parse(info?.nextRunAt ?? '') - service.clock.now(), hour);
  });

  it('goes on over a restart, and takes what was due meanwhile once', async () => {
    await vm.snapshots.schedule.set({ intervalMs: hour, retention: { maxCount: 9 } });
    await service.house.reopen();
    vm = await service.engine.get('web');
    await passes(hour);
    assert.equal((await names()).length, 1);
    const before = service.engine.lastEvent;
    await service.house.kill();
    service.clock.advance(10 * hour);
    await service.house.open();
    vm = await service.engine.get('web');
    await service.happened(vm, 'snapshot', { after: before });
    await settled();
    assert.equal((await names()).length, 2);
  });

  it('is late by its jitter, ends with its removal, and is not inherited by copies', async () => {
    const set = await vm.snapshots.schedule.set({
      intervalMs: hour,
      jitterMs: 5 * minute,
      retention: { maxCount: 1 },
    });
    assert.equal(Date.parse(set.nextRunAt) - service.clock.now(), hour + 5 * minute);
    const [copy] = await vm.fork({ name: 'copy' });
    assert.equal(await copy?.snapshots.schedule.get(), undefined);
    await vm.snapshots.schedule.remove();
    assert.equal(await vm.snapshots.schedule.get(), undefined);
    const before = service.engine.lastEvent;
    service.clock.advance(2 * hour);
    await vm.snapshots.create({ name: 'after' });
    assert.deepEqual(await names(), ['after']);
    assert.ok(service.engine.lastEvent > before);
  });

  it('is refused where it says nothing sensible', async () => {
    const retention = { maxCount: 1 };
    for (const wrong of [
      { intervalMs: minute - 1, retention },
      { intervalMs: Number.NaN, retention },
      { intervalMs: hour, retention: {} },
      { intervalMs: hour, retention: { maxCount: 0 } },
      { intervalMs: hour, retention: { maxAgeMs: 5 } },
      { intervalMs: hour, jitterMs: 2 * hour, retention },
      { intervalMs: hour, namePrefix: 'Not A Name', retention },
      { intervalMs: hour, namePrefix: 'x'.repeat(41), retention },
    ]) {
      await assert.rejects(vm.snapshots.schedule.set(wrong), (error) =>
        isVivError(error, 'invalid_request', 'invalid_name'),
      );
    }
    await assert.rejects(vm.snapshots.schedule.remove(), (error) => isVivError(error, 'not_found'));
  });
});
