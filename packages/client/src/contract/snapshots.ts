import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure, read } from './expect.ts';
import type { Given, Traits } from './index.ts';

export function snapshotContract(given: Given, { disks }: Traits): void {
  describe('snapshots', () => {
    it('have names, an order, and parents', async () => {
      await using vm = await given().run('busybox', { name: 'contract-snap' });
      const base = await vm.snapshots.create();
      assert.deepEqual(
        [base.name, base.instanceId, base.instanceName, base.state, base.hasMemory, base.parentId],
        ['snap1', vm.id, 'contract-snap', 'running', true, undefined],
      );
      assert.equal((await vm.refresh()).snapshotId, base.id);
      const next = await vm.snapshots.create({ name: 'next', expires: '1H', tags: { by: 'contract' } });
      assert.deepEqual([base.tags, next.tags], [undefined, { by: 'contract' }]);
      assert.equal(next.parentId, base.id);
      const left = Date.parse(next.expiresAt ?? '') - Date.now();
      assert.ok(left > 3_000_000 && left <= 3_600_000, `ends in ${left} ms`);
      assert.deepEqual(await vm.snapshots.list(), [base, next]);
      assert.deepEqual(await vm.snapshots.get('next'), next);
      assert.deepEqual(await vm.snapshots.get(base.id), base);
      assert.deepEqual(await given().snapshots.get(base.id.slice(0, 23)), base);
      await failure(vm.snapshots.create({ name: 'next' }), 'name_conflict');
      await failure(vm.snapshots.create({ name: 'Not A Name' }), 'invalid_name');
      await failure(vm.snapshots.create({ expires: 'soon' }), 'invalid_request');
      await vm.snapshots.remove('snap1');
      await failure(vm.snapshots.get('snap1'), 'not_found');
      assert.equal((await vm.snapshots.create()).name, 'snap1');
      await vm.snapshots.remove('snap1');
      await given().snapshots.remove(next.id);
      assert.deepEqual(await vm.snapshots.list(), []);
    });

    it('are taken by a schedule, which is set, shown and removed', async () => {
      await using vm = await given().run('busybox', { name: 'contract-schedule' });
      const { schedule } = vm.snapshots;
      assert.equal(await schedule.get(), undefined);
      await failure(schedule.remove(), 'not_found');
      await failure(schedule.set({ intervalMs: 5000, retention: { maxCount: 1 } }), 'invalid_request');
      await failure(schedule.set({ intervalMs: 60_000, retention: {} }), 'invalid_request');
      const asked = {
        intervalMs: 5_400_000,
        jitterMs: 1500,
        namePrefix: 'tidy',
        tags: { by: 'contract' },
        retention: { maxCount: 3, maxAgeMs: 86_400_000 },
      };
      const set = await schedule.set(asked);
      assert.deepEqual({ ...set, ...asked }, set);
      assert.equal(set.instanceId, vm.id);
      const due = Date.parse(set.nextRunAt) - Date.now();
      assert.ok(due > 5_300_000 && due <= 5_401_500, `due in ${due} ms`);
      assert.deepEqual(await schedule.get(), set);
      await schedule.remove();
      assert.equal(await schedule.get(), undefined);
    });

    it('with memory bring an instance back to where it was, not while it runs', async () => {
      await using vm = await given().run('busybox', { name: 'contract-back' });
      await vm.files.writeFile('/tmp/value', 'one');
      const one = await vm.snapshots.create({ name: 'one' });
      await vm.files.writeFile('/tmp/value', 'two');
      await failure(vm.snapshots.restore('one'), 'invalid_state');
      await vm.stop();
      assert.deepEqual(await vm.snapshots.restore('one'), { changed: true, state: 'Suspended' });
      assert.deepEqual([vm.info.snapshotId, vm.name], [one.id, 'contract-back']);
      await vm.start();
      assert.equal(await read(vm, '/tmp/value'), 'one');
      const branch = await vm.snapshots.create({ name: 'branch' });
      assert.equal(branch.parentId, one.id);
      for (const name of ['one', 'branch']) await vm.snapshots.remove(name);
    });

    const itKeepsDisks = disks ? it : () => undefined;
    itKeepsDisks('of a stopped instance are its disk', async () => {
      await using vm = await given().run('busybox');
      await vm.files.writeFile('/root/value', 'one');
      await vm.stop();
      const kept = await vm.snapshots.create({ name: 'disk' });
      assert.deepEqual([kept.state, kept.hasMemory], ['stopped', false]);
      await vm.start();
      await vm.files.writeFile('/root/value', 'two');
      await vm.stop();
      assert.deepEqual(await vm.snapshots.restore('disk'), { changed: true, state: 'Stopped' });
      await vm.start();
      assert.equal(await read(vm, '/root/value'), 'one');
      await vm.snapshots.remove('disk');
    });

    it('outlive their instance, and instances are made of them', async () => {
      const viv = given();
      const vm = await viv.run('busybox', { name: 'contract-gone' });
      await vm.files.writeFile('/tmp/value', 'kept');
      const { id } = await vm.snapshots.create({ name: 'last' });
      await vm.delete({ force: true });
      const [found] = await viv.snapshots.list({ instance: vm.id });
      assert.deepEqual([found?.id, found?.instanceName], [id, 'contract-gone']);
      const [copy, other] = await viv.snapshots.fork(id, { count: 2, name: 'contract-again-%d' });
      assert.ok(copy && other);
      assert.deepEqual(copy.info.forkedFrom, { instanceId: vm.id, snapshotId: id });
      await viv.snapshots.remove(id);
      await failure(viv.snapshots.get(id), 'not_found');
      await failure(viv.snapshots.fork(id), 'not_found');
      assert.equal((await copy.start()).state, 'Running');
      assert.equal(await read(copy, '/tmp/value'), 'kept');
      for (const made of [copy, other]) await made.delete({ force: true });
    });
  });
}
