import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HealthCheck, Vm } from '@vivarium/model';
import { failure } from './expect.ts';
import type { Given } from './index.ts';

export function serviceContract(given: Given): void {
  /** The data of the first event of a VM of that type. */
  const event = async (vm: Vm, type: string): Promise<Record<string, unknown>> => {
    const signal = AbortSignal.timeout(60_000);
    for await (const found of given().events({ since: 0, instance: vm.id, signal }))
      if (found.type === type) return found.data;
    return assert.fail(`${type} did not happen`);
  };

  describe('what keeps an instance going', () => {
    it('is shown as it was asked for, with the defaults, and can be changed', async () => {
      await using vm = await given().create({
        image: 'busybox',
        restartPolicy: { policy: 'on_failure', maxAttempts: 3 },
        healthCheck: { type: 'http', http: { port: 80, path: '/ready' }, intervalMs: 1500 },
        ttlMs: 3_600_000,
        autostart: { priority: 7 },
        logs: { keep: 4 },
      });
      const { info } = vm;
      assert.deepEqual(info.restartPolicy, {
        policy: 'on_failure',
        backoffMs: 5000,
        maxAttempts: 3,
        stableAfterMs: 600_000,
      });
      assert.deepEqual(info.healthCheck, {
        type: 'http',
        http: { port: 80, path: '/ready', scheme: 'http' },
        intervalMs: 1500,
        timeoutMs: 2000,
        startPeriodMs: 30_000,
        failureThreshold: 3,
        successThreshold: 1,
      });
      assert.deepEqual(info.autostart, { priority: 7, delayMs: 0 });
      assert.deepEqual(info.logs, { maxBytes: 10 * 2 ** 20, keep: 4 });
      assert.ok(Math.abs(Date.parse(info.expiresAt ?? '') - Date.now() - 3_600_000) < 60_000);
      const changed = await vm.update({
        restartPolicy: { policy: 'always', backoffMs: 1 },
        healthCheck: { type: 'none' },
        ttlMs: 0,
        autostart: null,
        tags: { a: '1' },
        env: { B: '2' },
        autoStandby: { enabled: false },
        wake: 'never',
        limits: { cpuWeight: 50 },
        disk: '11GB',
        name: 'contract-changed',
      });
      assert.equal(changed.restartPolicy?.maxAttempts, 3);
      assert.equal(changed.restartPolicy?.backoffMs, 1);
      assert.deepEqual(
        [changed.healthCheck, changed.expiresAt, changed.autostart, changed.pendingChanges],
        [undefined, undefined, undefined, undefined],
      );
      assert.deepEqual([changed.tags, changed.env.B], [{ a: '1' }, '2']);
      assert.deepEqual([changed.autoStandby, changed.wake], [{ enabled: false }, 'never']);
      assert.deepEqual([changed.limits, changed.diskBytes], [{ cpuWeight: 50 }, 11 * 1024 ** 3]);
      assert.equal(changed.name, 'contract-changed');
      assert.deepEqual(await vm.refresh(), changed);
      assert.equal((await vm.update({ env: { B: null } })).env.B, undefined);
    });

    it('is refused where it is wrong, with nothing changed', async () => {
      const viv = given();
      await failure(
        viv.create({ image: 'busybox', ttlMs: 1, expiresAt: '2999-01-01T00:00:00Z' }),
        'invalid_request',
      );
      const both = { image: 'busybox', autoRemove: true, restartPolicy: { policy: 'always' as const } };
      await failure(viv.create(both), 'invalid_request');
      await using vm = await viv.create({ image: 'busybox' });
      await failure(vm.update({ tags: { a: '1' }, expiresAt: '2000-01-01T00:00:00Z' }), 'invalid_request');
      assert.deepEqual((await vm.refresh()).tags, {});
      await failure(vm.waitForHealth(), 'invalid_state');
    });

    it('a workload that fails is started again as often as it may be', async () => {
      await using vm = await given().run('busybox', {
        cmd: ['sh', '-c', 'exit 3'],
        restartPolicy: { policy: 'on_failure', maxAttempts: 1, backoffMs: 10 },
      });
      assert.deepEqual(await event(vm, 'restart_blocked'), { reason: 'max_attempts_exceeded', attempts: 1 });
      await vm.waitFor('Stopped');
      const info = await vm.refresh();
      assert.equal(info.restart?.blockedReason, 'max_attempts_exceeded');
      assert.equal(info.generation, 2);
      assert.equal(info.exit?.code, 3);
    });

    it('a stop by somebody holds it back, and a start lets it go', async () => {
      await using vm = await given().run('busybox', {
        restartPolicy: { policy: 'always', backoffMs: 10 },
      });
      await vm.stop();
      assert.equal((await vm.refresh()).restart?.blockedReason, 'manual_stop');
      await vm.start();
      assert.equal((await vm.refresh()).restart, undefined);
    });

    it('health is found out and waited for', async () => {
      const check = (command: string[]): HealthCheck => ({
        type: 'exec',
        exec: { command },
        intervalMs: 100,
        timeoutMs: 20_000,
        startPeriodMs: 0,
        failureThreshold: 1,
      });
      await using vm = await given().run('busybox', { healthCheck: check(['echo', 'fine']) });
      const { health } = await vm.waitForHealth('healthy');
      assert.equal(health?.lastOutput, 'fine\n');
      await vm.update({ healthCheck: check(['sh', '-c', 'exit 4']) });
      const sick = await vm.waitForHealth('unhealthy');
      assert.equal(sick.health?.lastError, 'exited with 4');
      assert.equal(sick.state, 'Running');
      await failure(vm.waitForHealth('healthy', { timeoutMs: 50 }), 'timeout');
    });

    it('what has expired is deleted, though it runs', async () => {
      const vm = await given().run('busybox');
      await vm.update({ ttlMs: 1 });
      await event(vm, 'deleted');
      await failure(given().get(vm.id), 'not_found');
    });

    it('another command is for this start and those that follow', async () => {
      await using vm = await given().create({ image: 'busybox', cmd: ['sleep', '1000'] });
      await vm.start({ cmd: ['sleep', '2000'] });
      assert.deepEqual((await vm.refresh()).command, ['sleep', '2000']);
      await failure(vm.start({ cmd: ['sleep', '3000'] }), 'invalid_state');
      assert.deepEqual((await vm.update({ env: { A: '1' } })).pendingChanges, ['env']);
      await vm.restart();
      const info = await vm.refresh();
      assert.deepEqual([info.command, info.pendingChanges], [['sleep', '2000'], undefined]);
    });
  });
}
