import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { HealthCheck, Vm } from '@vivarium/model';
import type { Program } from '../../drivers/simulated/guest/index.ts';
import { failure } from '../../instances/fixtures/house.ts';
import { ServiceHouse, settled } from '../fixtures/service-house.ts';

/** What the command of the checks does next. */
let next: 'well' | 'sick' | 'hang';
let asked: number;
let killed: number;
let atOnce: { now: number; most: number };

const probe: Program = async (io) => {
  asked += 1;
  atOnce.now += 1;
  atOnce.most = Math.max(atOnce.most, atOnce.now);
  try {
    if (next === 'hang') await io.sleep(1e9).finally(() => (killed += 1));
    await io.out(`${next}\n`);
    return next === 'well' ? 0 : 3;
  } finally {
    atOnce.now -= 1;
  }
};

let service: ServiceHouse;
beforeEach(async () => {
  next = 'well';
  asked = 0;
  killed = 0;
  atOnce = { now: 0, most: 0 };
  service = await ServiceHouse.open({ programs: { probe } });
});
afterEach(async () => {
  await service[Symbol.asyncDispose]();
});

const interval = 10_000;
const check: HealthCheck = { type: 'exec', exec: { command: ['probe'] } };
const run = (more: Partial<HealthCheck> = {}, options: object = {}) =>
  service.engine.run('busybox', {
    cmd: ['sh'],
    stdin: 'open',
    healthCheck: { ...check, ...more },
    ...options,
  });

describe('a health check', () => {
  it('has the defaults of hypeman, and tells what it found', async () => {
    const vm = await run();
    assert.deepEqual(vm.info.healthCheck, {
      type: 'exec',
      exec: { command: ['probe'] },
      intervalMs: 10_000,
      timeoutMs: 2000,
      startPeriodMs: 30_000,
      failureThreshold: 3,
      successThreshold: 1,
    });
    assert.equal(vm.info.health?.status, 'starting');
    const health = await service.checked(vm, interval);
    assert.deepEqual(health, {
      status: 'healthy',
      consecutiveFailures: 0,
      consecutiveSuccesses: 1,
      lastCheckedAt: health.lastCheckedAt,
      lastSuccessAt: health.lastCheckedAt,
      lastOutput: 'well\n',
    });
    await service.happened(vm, 'health', { fits: ({ from, to }) => from === 'starting' && to === 'healthy' });
  });

  it('becomes unhealthy after three failures in a row outside the start period, and healthy again', async () => {
    const vm = await run();
    await service.checked(vm, interval);
    next = 'sick';
    for (const failures of [1, 2]) {
      const health = await service.checked(vm, interval);
      assert.deepEqual([health.status, health.consecutiveFailures], ['healthy', failures]);
    }
    const unhealthy = await service.checked(vm, interval);
    assert.equal(unhealthy.status, 'unhealthy');
    assert.equal(unhealthy.lastError, 'exited with 3');
    const event = await service.happened(vm, 'health', { fits: ({ to }) => to === 'unhealthy' });
    assert.deepEqual(event.data, {
      from: 'healthy',
      to: 'unhealthy',
      error: 'exited with 3',
      output: 'sick\n',
    });
    // Nobody has asked for more than to know it.
    assert.equal(vm.info.state, 'Running');
    next = 'well';
    assert.equal((await service.checked(vm, interval)).status, 'healthy');
  });

  it('that hangs is ended with what it runs, and is a failure', async () => {
    const vm = await run({ startPeriodMs: 0 });
    next = 'hang';
    service.clock.advance(interval);
    while (asked === 0) await settled();
    const health = await service.checked(vm, 2000);
    assert.equal(health.lastError, 'no answer within 2000 ms');
    assert.equal(health.consecutiveFailures, 1);
    while (killed === 0) await settled();
  });

  it('is not made while the VM is paused, suspended or stopped, and begins anew with a start', async () => {
    const vm = await run();
    await service.checked(vm, interval);
    const before = asked;
    await vm.pause();
    service.clock.advance(10 * interval);
    await settled();
    assert.equal(asked, before);
    assert.equal(vm.info.health?.status, 'healthy');
    await vm.resume();
    await service.checked(vm, interval);
    assert.equal(asked, before + 1);
    await vm.suspend();
    service.clock.advance(10 * interval);
    await settled();
    assert.equal(asked, before + 1);
    assert.equal((await vm.refresh()).health?.status, 'unknown');
    await vm.start();
    assert.equal((await vm.refresh()).health?.status, 'starting');
    assert.equal((await service.checked(vm, interval)).status, 'healthy');
    await vm.stop();
    assert.equal((await vm.refresh()).health?.status, 'unknown');
  });

  it('that fails ends the VM where its policy starts it again, and says why', async () => {
    const vm = await run({ startPeriodMs: 0 }, { restartPolicy: { policy: 'on_failure', maxAttempts: 1 } });
    next = 'sick';
    for (let failures = 1; failures <= 3; failures++) await service.checked(vm, interval);
    await service.happened(vm, 'restart_scheduled');
    await vm.waitFor('Stopped');
    assert.equal((await vm.refresh()).restart?.lastReason, 'health_check_failed');
    await service.restarted(vm);
    assert.equal(vm.info.health?.status, 'starting');
    // No attempt is left: it is told, and the VM is left to whoever looks after it.
    for (let failures = 1; failures <= 3; failures++) await service.checked(vm, interval);
    await service.happened(vm, 'restart_blocked');
    await settled();
    assert.equal((await vm.refresh()).state, 'Running');
    assert.equal(vm.info.restart?.blockedReason, 'max_attempts_exceeded');
  });

  const warned = (vm: Vm, after: number) =>
    service.happened(vm, 'warning', { after, fits: ({ message }) => /^Unhealthy/.test(String(message)) });
  const fallsSick = async (vm: Vm) => {
    next = 'sick';
    for (let failures = 1; failures <= 3; failures++) await service.checked(vm, interval);
  };

  it('that fails has the VM stopped in the end, though a stop has failed', async () => {
    const vm = await run({ startPeriodMs: 0 }, { restartPolicy: { policy: 'on_failure' } });
    const allow = service.house.refuse('INSERT', 'operations');
    await fallsSick(vm);
    const { seq, data } = await warned(vm, 0);
    assert.match(String(data.message), /in 5 s$/);
    service.clock.advance(5000);
    assert.match(String((await warned(vm, seq)).data.message), /in 10 s$/);
    assert.equal(vm.info.state, 'Running');
    allow();
    service.clock.advance(10_000);
    await service.happened(vm, 'restart_scheduled');
    await vm.waitFor('Stopped');
    assert.equal((await vm.refresh()).restart?.lastReason, 'health_check_failed');
    await service.restarted(vm);
  });

  it('that fails has the VM ended by force where a stop has left it in Error', async () => {
    const vm = await run({ startPeriodMs: 0 }, { restartPolicy: { policy: 'on_failure' } });
    await service.house.kill();
    const error = JSON.stringify({ code: 'vmm_failed', message: 'it can not be proven dead' });
    const restart = JSON.stringify({ attempts: 0, failing: true, lastReason: 'health_check_failed' });
    service.house.sql(
      `UPDATE instances SET record = json_set(record, '$.error', json('${error}'), '$.restart', json('${restart}'))`,
    );
    await service.house.open();
    const again = await service.engine.get(vm.id);
    assert.equal(again.info.state, 'Error');
    service.house.host.faults.inject('kill', { effect: 'error' });
    service.clock.advance(5000);
    assert.match(String((await warned(again, 0)).data.message), /in 10 s$/);
    assert.equal((await again.refresh()).state, 'Error');
    service.clock.advance(10_000);
    await service.happened(again, 'restart_scheduled');
    await again.waitFor('Stopped');
    await service.restarted(again);
    assert.equal(again.info.state, 'Running');
  });

  it('can be waited for, also through a restart, and not where there is none', async () => {
    const vm = await run();
    const healthy = vm.waitForHealth();
    await service.checked(vm, interval);
    assert.equal((await healthy).health?.status, 'healthy');
    assert.equal((await failure(vm.waitForHealth('unhealthy', { timeoutMs: 10 }))).code, 'timeout');
    const waiting = failure(vm.waitForHealth('unhealthy'));
    await vm.stop();
    assert.equal((await waiting).code, 'invalid_state');
    const none = await service.engine.create({ image: 'busybox' });
    assert.equal((await failure(none.waitForHealth())).code, 'invalid_state');
  });

  it('can be changed and taken away while the VM runs', async () => {
    const vm = await run();
    await service.checked(vm, interval);
    await vm.update({ healthCheck: { ...check, intervalMs: 1000 } });
    assert.equal(vm.info.health?.status, 'starting');
    await service.checked(vm, 1000);
    await vm.update({ healthCheck: { type: 'none' } });
    assert.equal(vm.info.health, undefined);
    assert.equal(vm.info.healthCheck, undefined);
    const before = asked;
    service.clock.advance(10 * interval);
    await settled();
    assert.equal(asked, before);
  });

  it('goes on under the next daemon', async () => {
    const vm = await run();
    await service.checked(vm, interval);
    await service.house.reopen();
    const again = await service.engine.get(vm.id);
    assert.equal(again.info.health?.status, 'starting');
    assert.equal((await service.checked(again, interval)).status, 'healthy');
  });

  it('keeps no more than 32 others company', async () => {
    next = 'hang';
    const vms = await Promise.all(Array.from({ length: 40 }, () => run()));
    service.clock.advance(interval);
    while (asked < 32) await settled();
    await settled();
    assert.equal(atOnce.most, 32);
    service.clock.advance(2000);
    while (asked < 40) await settled();
    assert.ok(vms.length > 32);
  });

  it('is refused where it is none', async () => {
    const wrong = [
      { type: 'exec' },
      { type: 'exec', exec: { command: [] } },
      { type: 'http', http: { port: 0 } },
      { type: 'http', http: { port: 80, path: 'no slash' } },
      { type: 'http', http: { port: 80, path: '/a\r\nhost: b' } },
      { type: 'tcp', tcp: { port: 70_000 } },
      { type: 'ping' },
      { ...check, intervalMs: 0 },
      { ...check, failureThreshold: 0 },
    ] as HealthCheck[];
    for (const healthCheck of wrong) {
      const error = await failure(service.engine.create({ image: 'busybox', healthCheck }));
      assert.equal(error.code, 'invalid_request', JSON.stringify(healthCheck));
    }
  });
});
