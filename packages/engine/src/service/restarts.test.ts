import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { failure } from '../instances/fixtures/house.ts';
import { boundlessGauge } from '../resources/gauge.ts';
import { ServiceHouse, settled } from './fixtures/service-house.ts';

let service: ServiceHouse;
beforeEach(async () => {
  service = await ServiceHouse.open();
});
afterEach(async () => {
  await service[Symbol.asyncDispose]();
});

const always = { policy: 'always' } as const;
const onFailure = { policy: 'on_failure' } as const;
const shell = { image: 'busybox', cmd: ['sh'], stdin: 'open' as const };

const run = (restartPolicy: { policy: 'never' | 'always' | 'on_failure' }, more: object = {}) =>
  service.engine.run('busybox', { cmd: ['sh'], stdin: 'open', restartPolicy: { ...restartPolicy, ...more } });

describe('a restart policy', () => {
  it('has the defaults of hypeman, and never is as none', async () => {
    const vm = await service.engine.create({ ...shell, restartPolicy: onFailure });
    assert.deepEqual(vm.info.restartPolicy, {
      policy: 'on_failure',
      backoffMs: 5000,
      maxAttempts: 0,
      stableAfterMs: 600_000,
    });
    const none = await service.engine.create({ ...shell, restartPolicy: { policy: 'never' } });
    assert.equal(none.info.restartPolicy, undefined);
  });

  it('on failure restarts what exits with 1 after its backoff, and not what exits with 0', async () => {
    const vm = await run(onFailure);
    await service.end(vm, 1);
    await vm.waitFor('Stopped');
    assert.equal(vm.info.restart?.nextAttemptAt, new Date(service.clock.now() + 5000).toISOString());
    service.clock.advance(4999);
    await settled();
    assert.equal(vm.info.state, 'Stopped');
    await service.restarted(vm);
    assert.equal(vm.info.restart?.attempts, 1);
    assert.equal(vm.info.generation, 2);
    await service.end(vm, 0);
    await vm.waitFor('Stopped');
    assert.equal(vm.info.restart?.nextAttemptAt, undefined);
  });

  it('always restarts what exits with 0; never restarts nothing', async () => {
    const vm = await run(always);
    await service.end(vm, 0);
    await service.restarted(vm);
    const never = await run({ policy: 'never' });
    await service.end(never, 1);
    await never.waitFor('Stopped');
    assert.equal(never.info.restart, undefined);
  });

  it('takes the death of the VMM for a failure', async () => {
    const vm = await run(onFailure);
    await service.crash(vm);
    assert.equal(vm.info.exit?.reason, 'vmm_exited');
    await service.restarted(vm);
  });

  it('holds still after a stop by somebody until the next start, also where it was about to restart', async () => {
    const vm = await run(always);
    await vm.stop();
    assert.equal(vm.info.restart?.blockedReason, 'manual_stop');
    service.clock.advance(3_600_000);
    await settled();
    assert.equal(vm.info.state, 'Stopped');
    await vm.start();
    assert.equal(vm.info.restart, undefined);
    await service.end(vm, 1);
    await vm.waitFor('Stopped');
    assert.ok((await vm.refresh()).restart?.nextAttemptAt);
    assert.deepEqual(await vm.stop(), { changed: false, state: 'Stopped' });
    assert.equal((await vm.refresh()).restart?.blockedReason, 'manual_stop');
    service.clock.advance(3_600_000);
    await settled();
    assert.equal(vm.info.state, 'Stopped');
  });

  it('gives up after so many attempts in a row and says so, until somebody starts it', async () => {
    const vm = await run(onFailure, { maxAttempts: 2 });
    for (let attempt = 1; attempt <= 2; attempt++) {
      await service.end(vm, 1);
      await service.restarted(vm);
      assert.equal(vm.info.restart?.attempts, attempt);
    }
    await service.end(vm, 1);
    const blocked = await service.happened(vm, 'restart_blocked');
    assert.deepEqual(blocked.data, { reason: 'max_attempts_exceeded', attempts: 2 });
    assert.equal(vm.info.restart?.blockedReason, 'max_attempts_exceeded');
    service.clock.advance(3_600_000);
    await settled();
    assert.equal(vm.info.state, 'Stopped');
    await vm.start();
    await service.end(vm, 1);
    await service.restarted(vm);
    assert.equal(vm.info.restart?.attempts, 1);
  });

  it('counts anew for what has run for long enough', async () => {
    const vm = await run(onFailure, { maxAttempts: 1 });
    await service.end(vm, 1);
    await service.restarted(vm);
    service.clock.advance(600_000);
    await service.end(vm, 1);
    await service.restarted(vm);
    assert.equal(vm.info.restart?.attempts, 1);
  });

  it('tries again where a start fails, and counts that as an attempt', async () => {
    const vm = await run(onFailure, { maxAttempts: 2 });
    await service.end(vm, 1);
    await vm.waitFor('Stopped');
    service.house.host.faults.inject('launch.before-spawn', { effect: 'error' });
    service.clock.advance(5000);
    await service.happened(vm, 'restart_failed');
    assert.equal(vm.info.restart?.attempts, 1);
    assert.ok(vm.info.restart?.lastError);
    await service.restarted(vm);
    assert.equal(vm.info.restart?.attempts, 2);
    assert.equal(vm.info.restart?.lastError, undefined);
  });

  it('waits for room where there is none, longer each time, and counts that as no attempt', async () => {
    let free = 2 ** 40;
    const gauge = { ...boundlessGauge, availableBytes: () => free };
    await using crowded = await ServiceHouse.open({ gauge });
    const restartPolicy = { ...onFailure, maxAttempts: 1, backoffMs: 0 };
    const vm = await crowded.engine.run('busybox', { cmd: ['sh'], stdin: 'open', restartPolicy });
    await crowded.end(vm, 1);
    await vm.waitFor('Stopped');
    free = 0;
    let after = 0;
    for (const pause of [5000, 10_000, 20_000, 40_000, 60_000, 60_000]) {
      crowded.clock.advance(Date.parse(vm.info.restart?.nextAttemptAt ?? '') - crowded.clock.now());
      const { seq, data } = await crowded.happened(vm, 'restart_waiting', { after });
      after = seq;
      const at = new Date(crowded.clock.now() + pause).toISOString();
      assert.deepEqual([data.at, data.attempts, data.reason], [at, 0, 'insufficient_resources']);
      await settled();
    }
    const { attempts, blockedReason, lastError } = vm.info.restart ?? {};
    assert.deepEqual([attempts, blockedReason], [0, undefined]);
    assert.match(lastError ?? '', /memory/);
    assert.equal('refusals' in (vm.info.restart ?? {}), false);
    for await (const { type } of crowded.engine.events({ since: 0, instance: vm.id, follow: false }))
      assert.ok(!['restart', 'restart_failed', 'restart_blocked'].includes(type), type);
    free = 2 ** 40;
    await crowded.restarted(vm);
    assert.equal(vm.info.restart?.attempts, 1);
  });

  it('survives the daemon: what was due is done, and what died meanwhile is restarted', async () => {
    const vm = await run(onFailure, { maxAttempts: 5 });
    await service.end(vm, 1);
    await vm.waitFor('Stopped');
    await service.house.reopen();
    const again = await service.engine.get(vm.id);
    assert.equal(again.info.restart?.attempts, 0);
    await service.restarted(again);
    assert.equal(again.info.restart?.attempts, 1);

    await service.house.kill();
    service.house.host.crash(service.house.dir(vm.id));
    await service.house.open();
    const third = await service.engine.get(vm.id);
    assert.equal(third.info.restart?.attempts, 1);
    await service.restarted(third);
    assert.equal(third.info.restart?.attempts, 2);
  });

  it('does not restart what somebody stopped while the daemon was killed', async () => {
    const vm = await run(always);
    const stop = vm.stop();
    stop.then(undefined, () => undefined);
    await service.happened(vm, 'state', { fits: ({ to }) => to === 'Stopping' });
    await service.house.kill();
    await service.house.open();
    const again = await service.engine.get(vm.id);
    await again.waitFor('Stopped');
    assert.equal(again.info.restart?.blockedReason, 'manual_stop');
    service.clock.advance(3_600_000);
    await settled();
    assert.equal(again.info.state, 'Stopped');
  });

  it('does not bring back what is deleted, and gives way to whoever holds the instance', async () => {
    const vm = await run(always);
    await service.end(vm, 1);
    await vm.waitFor('Stopped');
    const [deleted] = await Promise.allSettled([vm.delete(), service.clock.advance(5000)]);
    assert.equal(deleted.status, 'fulfilled');
    await settled();
    await failure(service.engine.get(vm.id));
    assert.equal(service.house.host.alive().length, 0);

    const other = await run(always);
    await service.end(other, 1);
    await other.waitFor('Stopped');
    const renamed = other.rename('other-name');
    await service.restarted(other);
    assert.equal((await renamed).name, 'other-name');
  });

  it('a start by somebody in the meantime settles it', async () => {
    const vm = await run(always);
    await service.end(vm, 1);
    await vm.waitFor('Stopped');
    await vm.start();
    const { generation } = vm.info;
    service.clock.advance(5000);
    await settled();
    assert.equal(vm.info.generation, generation);
    assert.equal(vm.info.state, 'Running');
  });

  it('does not go with removal at the end, from the beginning, later, or in a copy', async () => {
    const both = { ...shell, autoRemove: true, restartPolicy: always };
    assert.match((await failure(service.engine.create(both))).message, /can't have a restart policy/);
    const vm = await service.engine.run('busybox', { cmd: ['sh'], stdin: 'open', autoRemove: true });
    assert.equal((await failure(vm.update({ restartPolicy: always }))).code, 'invalid_request');
    const lasting = await run(always);
    assert.equal((await failure(lasting.fork({ autoRemove: true }))).code, 'invalid_request');
  });

  it('lets a wait go on through an end that it is about to restart', async () => {
    const vm = await run(always);
    const paused = vm.waitFor('Paused');
    await service.end(vm, 1);
    await service.restarted(vm);
    await vm.pause();
    assert.equal((await paused).state, 'Paused');
  });

  it('is refused where it is none', async () => {
    const wrong = [
      { policy: 'sometimes' },
      { policy: 'always', backoffMs: -1 },
      { policy: 'always', maxAttempts: 1.5 },
    ];
    for (const restartPolicy of wrong as never[]) {
      assert.equal(
        (await failure(service.engine.create({ ...shell, restartPolicy }))).code,
        'invalid_request',
      );
    }
  });
});
