import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { CreateOptions, InstanceEvent } from '@vivarium/model';
import { failure } from '../instances/fixtures/house.ts';
import { ServiceHouse, settled } from './fixtures/service-house.ts';

let service: ServiceHouse;
beforeEach(async () => {
  service = await ServiceHouse.open();
});
afterEach(async () => {
  await service[Symbol.asyncDispose]();
});

const run = (name: string, options: Partial<CreateOptions> = {}) =>
  service.engine.run('busybox', { name, cmd: ['sh'], stdin: 'open', ...options });

/** Names of those that were started since, in order, once there are so many. */
async function started(count: number, since: number): Promise<string[]> {
  const names: string[] = [];
  for await (const event of service.engine.events({ since, signal: AbortSignal.timeout(5000) })) {
    if (isStart(event)) names.push(event.instanceName);
    if (names.length === count) return names;
  }
  throw new assert.AssertionError({ message: `only ${names.join(', ')} were started` });
}

/** Told as its turn comes; what a start does first may take longer with one than with the next. */
const isStart = ({ type }: InstanceEvent) => type === 'restart';

describe('after a reboot of the host', () => {
  it('what ran and is to be started again is, and nothing else', async () => {
    await run('auto', { autostart: {} });
    await run('always', { restartPolicy: { policy: 'always' } });
    await run('on-failure', { restartPolicy: { policy: 'on_failure', maxAttempts: 1 } });
    await run('plain');
    const stopped = await run('stopped', { autostart: {} });
    await stopped.stop();
    const ended = await run('ended', { autostart: {} });
    await service.end(ended, 0);
    const held = await run('held', { restartPolicy: { policy: 'always' } });
    await held.stop();
    const gaveUp = await run('gave-up', { restartPolicy: { policy: 'on_failure', maxAttempts: 1 } });
    await service.crash(gaveUp);
    await service.restarted(gaveUp);
    await service.crash(gaveUp);
    const suspended = await run('suspended', { autostart: {} });
    await suspended.suspend();
    const before = service.engine.lastEvent;
    await service.reboot();
    assert.deepEqual((await started(3, before)).sort(), ['always', 'auto', 'on-failure']);
    for (const name of ['auto', 'always', 'on-failure']) {
      const vm = await service.engine.get(name);
      await vm.waitFor('Running');
      // The host was the cause: no attempt is held against it but the one that was made.
      assert.equal(vm.info.restart?.attempts, 1, name);
    }
    await settled();
    for (const name of ['plain', 'stopped', 'ended', 'held', 'gave-up'])
      assert.equal((await service.engine.get(name)).info.state, 'Stopped', name);
    assert.equal((await service.engine.get('suspended')).info.state, 'Suspended');
  });

  it('the highest priority comes first, and who asks for it is given a pause', async () => {
    await run('first', { autostart: { priority: 10, delayMs: 60_000 } });
    await run('last', { autostart: { priority: -1 } });
    await run('second', { autostart: {} });
    const before = service.engine.lastEvent;
    await service.reboot();
    assert.deepEqual(await started(1, before), ['first']);
    while (service.clock.waiting === 0) await settled();
    assert.equal((await service.engine.get('second')).info.state, 'Stopped');
    service.clock.advance(60_000);
    assert.deepEqual(await started(3, before), ['first', 'second', 'last']);
    await (await service.engine.get('last')).waitFor('Running');
  });

  it('many are started, four at a time', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `n${index}`);
    await Promise.all(names.map((name) => run(name, { autostart: {} })));
    const before = service.engine.lastEvent;
    await service.reboot();
    let underWay = 0;
    let most = 0;
    let done = 0;
    for await (const { type, data } of service.engine.events({ since: before })) {
      if (type !== 'operation' || data.action !== 'start') continue;
      underWay += data.outcome === 'begun' ? 1 : -1;
      most = Math.max(most, underWay);
      if (data.outcome === 'done' && ++done === 12) break;
    }
    assert.equal(most, 4);
  });

  it('a daemon that is killed before it has started them leaves that to the next one', async () => {
    await run('a', { autostart: { priority: 1, delayMs: 60_000 } });
    await run('b', { autostart: {} });
    await service.reboot();
    await (await service.engine.get('a')).waitFor('Running');
    await settled();
    const before = service.engine.lastEvent;
    await service.house.reopen();
    service.clock.advance(0);
    assert.deepEqual(await started(1, before), ['b']);
    await (await service.engine.get('b')).waitFor('Running');
  });

  it('what does not start is tried again after a pause, also without a restart policy', async () => {
    const vm = await run('auto', { autostart: {} });
    service.house.host.faults.inject('launch.after-spawn', { effect: 'error' });
    const before = service.engine.lastEvent;
    await service.reboot();
    await service.happened(vm, 'restart_failed', { after: before });
    await settled();
    const now = await service.engine.get('auto');
    const { attempts, nextAttemptAt = '' } = now.info.restart ?? {};
    assert.deepEqual([attempts, Date.parse(nextAttemptAt) - service.clock.now()], [1, 5000]);
    service.house.host.faults.clear();
    await service.restarted(now);
    assert.equal(now.info.state, 'Running');
  });

  it('what does not start is not tried again once its autostart is taken away', async () => {
    const vm = await run('auto', { autostart: {} });
    service.house.host.faults.inject('launch.after-spawn', { effect: 'error' });
    const before = service.engine.lastEvent;
    await service.reboot();
    await service.happened(vm, 'restart_failed', { after: before });
    await settled();
    const now = await service.engine.get('auto');
    await now.update({ autostart: null });
    assert.equal(now.info.restart?.nextAttemptAt, undefined);
    service.clock.advance(60_000);
    await settled();
    assert.equal((await now.refresh()).state, 'Stopped');
  });

  it('a stop takes away what is to be started, also before its turn has come', async () => {
    await run('a', { autostart: { priority: 1, delayMs: 60_000 } });
    await run('b', { autostart: {} });
    await service.reboot();
    const b = await service.engine.get('b');
    await (await service.engine.get('a')).waitFor('Running');
    await b.stop();
    while (service.clock.waiting === 0) await settled();
    service.clock.advance(60_000);
    await settled();
    assert.equal((await b.refresh()).state, 'Stopped');
  });
});

it('a boot that can not be written down keeps no daemon from opening, and starts what is due', async () => {
  const vm = await run('auto', { autostart: {} });
  await mkdir(path.join(service.house.home, 'boot-id.new'));
  await service.reboot();
  await (await service.engine.get(vm.id)).waitFor('Running');
});

it('a data directory that could not be opened is let go of', async () => {
  const { house } = service;
  await house.kill();
  const file = path.join(house.home, 'boot-id');
  await rm(file);
  await mkdir(file);
  await assert.rejects(house.open(), /EISDIR/);
  await rm(file, { recursive: true });
  await house.open();
});

it('a VMM that dies while only the daemon is away is no reboot', async () => {
  const vm = await run('auto', { autostart: {} });
  await service.house.kill();
  service.house.host.crash(service.house.dir(vm.id), { unobserved: true });
  await service.house.open();
  await settled();
  assert.equal((await service.engine.get('auto')).info.state, 'Stopped');
});

it('autostart does not go with removal at the end, and can be given and taken later', async () => {
  const vm = await run('later');
  await vm.update({ autostart: { priority: 3 } });
  assert.deepEqual(vm.info.autostart, { priority: 3, delayMs: 0 });
  await vm.update({ autostart: null });
  assert.equal(vm.info.autostart, undefined);
  const error = await failure(run('gone', { autostart: {}, autoRemove: true }));
  assert.match(error.message, /can't have an autostart/);
});
