import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { failure } from '../instances/fixtures/house.ts';
import { HandClock } from '../pools/fixtures/hand-clock.ts';
import { boundlessGauge } from '../resources/gauge.ts';
import { events, passes, policy, portOf, settled, standbyHouse, web } from './fixtures/standby-house.ts';

describe('an instance with a standby policy', () => {
  test('is suspended once it has been idle for long enough, and says when that is', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    const before = await vm.standby.status();
    assert.deepEqual([before.status, before.reason], ['idle_countdown', 'idle_timeout_not_elapsed']);
    assert.equal(Date.parse(before.nextStandbyAt ?? '') - clock.now(), 60_000);
    assert.equal(await passes(clock, vm, 59_999), 'Running');
    assert.equal(await passes(clock, vm, 1), 'Suspended');
    const after = await vm.standby.status();
    assert.deepEqual([after.eligible, after.reason], [false, 'instance_not_running']);
    assert.equal(house.host.alive().length, 0);
  });

  test('is not while a command runs in it, attached to or not, and its time begins when that ends', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    const session = await vm.openExec(['cat'], { stdin: 'open-stream' });
    assert.equal(await passes(clock, vm, 200_000), 'Running');
    assert.deepEqual((await vm.standby.status()).uses, [{ kind: 'exec', count: 1 }]);
    assert.equal((await vm.standby.status()).status, 'active');
    // Nobody holds it any more, and it goes on in the guest.
    session.detach();
    await settled(vm);
    assert.equal(await passes(clock, vm, 60_000), 'Running');
    assert.deepEqual((await vm.standby.status()).uses, [{ kind: 'session', count: 1 }]);
    await passes(clock, vm, 10_000);
    const again = await vm.resumeExec(session.execId);
    await again.end();
    await again.exit;
    await again.close();
    await settled(vm);
    assert.equal(await passes(clock, vm, 59_999), 'Running');
    assert.equal(await passes(clock, vm, 1), 'Suspended');
  });

  test('is also while its health is being checked, which is no use of it', async () => {
    const health = new HandClock();
    const { house, clock } = await standbyHouse({
      clock: health,
      programs: { probe: async (io) => io.sleep(1e9).then(() => 0) },
    });
    await using _house = house;
    const exec = { command: ['probe'] };
    const vm = await web(house, {
      healthCheck: { type: 'exec', exec, timeoutMs: 9_000_000, intervalMs: 10_000_000 },
    });
    health.advance(10_000_000);
    const checks = async (all: boolean) =>
      (await vm.sessions.list({ all })).filter(({ purpose }) => purpose === 'health_check');
    while ((await checks(true)).length === 0) await settled(vm);
    assert.deepEqual(await checks(false), []);
    const [{ id = '' } = {}] = await checks(true);
    assert.deepEqual((await vm.sessions.get(id)).argv, ['probe']);
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
  });

  test('is not while a command of somebody runs, whatever it is called, and nobody can call it a check', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    for (const execId of ['health:mine', 'workload:mine'])
      assert.equal((await failure(vm.openExec(['cat'], { execId }))).code, 'invalid_request');
    const session = await vm.openExec(['cat'], { execId: 'health-mine', stdin: 'open-stream' });
    session.detach();
    await settled(vm);
    assert.equal(await passes(clock, vm, 60_000), 'Running');
    assert.deepEqual((await vm.standby.status()).uses, [{ kind: 'session', count: 1 }]);
  });

  test('is not while a connection to a published port is open, and its time begins when that has ended', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    const connection = house.host.ports.connect(portOf(vm));
    assert.equal(await passes(clock, vm, 300_000), 'Running');
    const status = await vm.standby.status();
    assert.deepEqual(
      [status.status, status.reason, status.connections],
      ['active', 'active_inbound_connections', 1],
    );
    house.host.ports.close(connection);
    assert.equal(await passes(clock, vm, 10_000), 'Running');
    assert.equal(await passes(clock, vm, 49_999), 'Running');
    assert.equal(await passes(clock, vm, 1), 'Suspended');
  });

  test('counts connections that were gone before anybody looked', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    await passes(clock, vm, 40_000);
    house.host.ports.close(house.host.ports.connect(portOf(vm)));
    assert.equal(await passes(clock, vm, 20_000), 'Running');
    assert.equal(await passes(clock, vm, 39_999), 'Running');
    assert.equal(await passes(clock, vm, 1), 'Suspended');
  });

  test('does not count what its policy ignores', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const ignoring = { ...policy, ignoreSourceCidrs: ['10.1.0.0/16'], ignoreDestinationPorts: [90] };
    const vm = await web(house, { autoStandby: ignoring, ports: [{ guestPort: 80 }, { guestPort: 90 }] });
    const probe = house.host.ports.connect(portOf(vm), '10.1.2.3');
    const metrics = house.host.ports.connect(vm.info.ports[1]?.hostPort ?? 0);
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
    assert.deepEqual([probe.state, metrics.state], ['closed', 'closed']);
  });

  test('is not while a tunnel, a console or a copy is open', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    const console = await vm.console();
    assert.equal(await passes(clock, vm, 100_000), 'Running');
    console.destroy();
    await settled(vm);
    const archive = vm.files.getArchive('/')[Symbol.asyncIterator]();
    await archive.next();
    assert.equal(await passes(clock, vm, 100_000), 'Running');
    assert.deepEqual((await vm.standby.status()).uses, [{ kind: 'files', count: 1 }]);
    await archive.return?.();
    await settled(vm);
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
  });

  test('is not while it computes more than it may', async () => {
    let nanos = 0;
    const gauge = { ...boundlessGauge, cpuNanos: async () => nanos };
    const { house, clock } = await standbyHouse({ gauge });
    await using _house = house;
    const vm = await web(house, { autoStandby: { ...policy, cpuBelow: 0.1 } });
    await settled(vm);
    nanos += 30e9;
    assert.equal(await passes(clock, vm, 60_000), 'Running');
    nanos += 3e9;
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
  });

  test('is where what it computes can not be measured, and that is told', async () => {
    const broken = async () => {
      throw new Error('no /proc here');
    };
    const { house, clock } = await standbyHouse({ gauge: { ...boundlessGauge, cpuNanos: broken } });
    await using _house = house;
    const vm = await web(house, { autoStandby: { ...policy, cpuBelow: 0.1 } });
    await settled(vm);
    assert.equal((await vm.standby.status()).error, 'no /proc here');
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
  });

  test('goes on where somebody comes while it is being suspended', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    const reached = Promise.withResolvers<void>();
    house.host.faults.inject('save.memory', { effect: 'delay', milliseconds: 50 });
    const poll = setInterval(() => vm.info.state === 'Suspending' && reached.resolve(), 1);
    clock.advance(60_000);
    await reached.promise;
    clearInterval(poll);
    const waiting = house.host.ports.connect(portOf(vm));
    assert.equal(waiting.state, 'waiting');
    assert.equal((await vm.exec(['echo', 'there'])).stdout, 'there\n');
    assert.equal(vm.info.state, 'Running');
    assert.equal(waiting.state, 'open', 'and nobody who came to a port was sent away');
    assert.deepEqual(await events(house, 'waking'), [], 'it never slept');
  });

  test('stays awake for a whole timeout after a hold, which a sleeping one refuses', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    await passes(clock, vm, 50_000);
    const { holdUntil } = await vm.standby.hold();
    assert.equal(Date.parse(holdUntil ?? '') - clock.now(), 60_000);
    assert.equal(await passes(clock, vm, 59_999), 'Running');
    assert.equal(await passes(clock, vm, 1), 'Suspended');
    assert.equal((await failure(vm.standby.hold())).code, 'conflict');
  });

  test('follows a change of its policy at once', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house, { autoStandby: undefined });
    assert.equal((await vm.standby.status()).reason, 'policy_missing');
    assert.equal(await passes(clock, vm, 1_000_000), 'Running');
    await vm.standby.set({ policy });
    await vm.standby.set({ policy: { ...policy, enabled: false } });
    assert.equal(await passes(clock, vm, 60_000), 'Running');
    assert.equal((await vm.standby.status()).reason, 'policy_disabled');
    await vm.standby.set({ policy: { ...policy, idleTimeoutMs: 5000 } });
    assert.equal(await passes(clock, vm, 5000), 'Suspended');
    for (const wrong of [
      { idleTimeoutMs: 10 },
      { ignoreSourceCidrs: ['10.0.0.0/40'] },
      { ignoreDestinationPorts: [0] },
      { cpuBelow: 0 },
    ])
      assert.equal(
        (await failure(vm.standby.set({ policy: { enabled: true, ...wrong } }))).code,
        'invalid_request',
      );
  });

  test('whose ports nobody can hold for long is told of once, and not tried for ever', async (t) => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    const opened = t.mock.method(house.host.ports, 'dormant', async () => ({
      ended: Promise.resolve(),
      onTraffic: () => undefined,
      close: async () => undefined,
      drop: async () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    }));
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
    await settled(vm);
    assert.ok(opened.mock.callCount() < 4, `${opened.mock.callCount()} times`);
    assert.match(String((await events(house, 'warning')).at(-1)?.message), /ended at once/);
  });

  test('counts anew after a restart of the daemon', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const { id } = await web(house);
    clock.advance(59_000);
    await house.reopen();
    const vm = await house.engine.get(id);
    assert.equal(await passes(clock, vm, 59_999), 'Running');
    assert.equal(await passes(clock, vm, 1), 'Suspended');
  });

  test('tells why where it can not be suspended, and is tried again', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    house.host.faults.inject('save.devices', { effect: 'error' });
    assert.equal(await passes(clock, vm, 60_000), 'Running');
    assert.match(String((await events(house, 'warning')).at(-1)?.message), /idle and could not be suspended/);
    assert.equal((await vm.standby.status()).status, 'error');
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
  });
});
