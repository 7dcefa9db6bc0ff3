import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure } from './expect.ts';
import type { Given } from './index.ts';

export function resourceContract(given: Given): void {
  describe('the resources of the host', () => {
    it('are told with what each instance has of them', async () => {
      const viv = given();
      await using vm = await viv.create({ image: 'busybox', disk: '1GB' });
      const { cpu, memory, disk, network, diskIo, limitKeepers, allocations } = await viv.resources.get();
      for (const { by, why } of limitKeepers) assert.equal(by === 'none', why !== undefined);
      for (const status of [cpu, memory, disk, network, diskIo]) {
        assert.ok(status.capacity > 0);
        assert.ok(status.available >= 0 && status.allocated >= 0);
      }
      const mine = allocations.find(({ instanceId }) => instanceId === vm.id);
      if (mine !== undefined) assert.deepEqual([mine.cpus, mine.diskBytes], [0, 2 ** 30]);
    });

    it('are reclaimed from nobody who has not agreed to be suspended', async () => {
      const viv = given();
      const done = await viv.resources.reclaimMemory({ bytes: 2 ** 20, dryRun: true });
      assert.equal(done.requestedBytes, 2 ** 20);
      assert.equal(done.appliedBytes, 0);
      assert.ok(done.actions.every(({ status }) => status !== 'suspended'));
    });
  });
}

export function limitContract(given: Given): void {
  describe('limits', () => {
    it('are what an instance is made with, change while it runs, and say who keeps them', async () => {
      const limits = { diskBytesPerSecond: 50 * 2 ** 20, networkDownload: 1_000_001 };
      await using vm = await given().run('busybox', { limits });
      assert.deepEqual(vm.info.limits, limits);
      const { asked, effects } = await vm.limits.get();
      assert.deepEqual(asked, limits);
      assert.equal(effects.find(({ limit }) => limit === 'diskBytesPerSecond')?.by, 'vmm');
      const changed = await vm.limits.set({ networkDownload: 0, diskRequestsPerSecond: 1000 });
      assert.deepEqual(changed.asked, { diskBytesPerSecond: 50 * 2 ** 20, diskRequestsPerSecond: 1000 });
      assert.deepEqual((await vm.refresh()).limits, changed.asked);
      assert.ok(
        changed.effects.some(({ limit, value }) => limit === 'diskRequestsPerSecond' && value === 1000),
      );
      await failure(vm.limits.set({ cpuWeight: 20_000 }), 'invalid_request');
      await vm.limits.set({ diskBytesPerSecond: 0, diskRequestsPerSecond: 0 });
      assert.equal((await vm.refresh()).limits, undefined);
    });
  });
}

export function standbyContract(given: Given): void {
  describe('standby', () => {
    it('is off until a policy says otherwise, which can be changed and removed', async () => {
      const viv = given();
      await using vm = await viv.run('busybox');
      assert.equal((await vm.standby.status()).reason, 'policy_missing');
      const on = await vm.standby.set({ policy: { enabled: true, idleTimeoutMs: 3_600_000 } });
      assert.deepEqual([on.enabled, on.eligible, on.idleTimeoutMs], [true, true, 3_600_000]);
      assert.ok(Date.parse(on.nextStandbyAt ?? '') > Date.now() + 3_000_000);
      assert.deepEqual((await vm.refresh()).autoStandby, { enabled: true, idleTimeoutMs: 3_600_000 });
      const { holdUntil } = await vm.standby.hold();
      assert.ok(Date.parse(holdUntil ?? '') > Date.now() + 3_000_000);
      const off = await vm.standby.set({ policy: null, wake: 'always' });
      assert.deepEqual([off.configured, off.wake], [false, 'always']);
      assert.equal((await vm.refresh()).autoStandby, undefined);
      await failure(vm.standby.set({ policy: { enabled: true, idleTimeoutMs: 5 } }), 'invalid_request');
    });

    it('is what an instance is made with', async () => {
      const policy = { enabled: true, idleTimeoutMs: 7_200_000, ignoreDestinationPorts: [22] };
      await using vm = await given().create({ image: 'busybox', autoStandby: policy, wake: 'never' });
      assert.deepEqual([vm.info.autoStandby, vm.info.wake], [policy, 'never']);
      assert.equal((await vm.standby.status()).reason, 'instance_not_running');
    });
  });
}
