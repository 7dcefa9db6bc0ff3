import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CreateOptions } from '@vivarium/model';
import { failure } from '../instances/fixtures/house.ts';
import { events, passes, portOf, settled, standbyHouse, web } from './fixtures/standby-house.ts';

describe('an instance that sleeps', () => {
  async function asleep(more: Partial<CreateOptions> = {}) {
    const { house, clock } = await standbyHouse();
    const vm = await web(house, more);
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
    return { house, clock, vm };
  }

  test('is woken by a connection to its port, which is neither refused nor lost', async () => {
    const { house, vm } = await asleep();
    await using _house = house;
    const connections = Array.from({ length: 30 }, () => house.host.ports.connect(portOf(vm)));
    assert.ok(connections.every(({ state }) => state === 'waiting'));
    await vm.waitFor('Running');
    await settled(vm);
    assert.ok(connections.every(({ state }) => state === 'open'));
    assert.deepEqual(await events(house, 'waking'), [{ by: 'connection' }], 'once');
  });

  test('is woken by an exec, by files and by a tunnel; once by many', async () => {
    const { house, clock, vm } = await asleep();
    await using _house = house;
    const outputs = await Promise.all(Array.from({ length: 10 }, () => vm.exec(['echo', 'up'])));
    assert.ok(outputs.every(({ stdout }) => stdout === 'up\n'));
    assert.deepEqual(await events(house, 'waking'), [{ by: 'exec' }]);
    await settled(vm);
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
    await vm.files.stat('/');
    await settled(vm);
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
    (await vm.connect(80)).on('error', () => undefined).destroy();
    assert.equal(vm.info.state, 'Running');
  });

  test('is not woken by who only looks', async () => {
    const { house, vm } = await asleep();
    await using _house = house;
    assert.equal((await failure(vm.console())).code, 'invalid_state');
    assert.equal((await failure(vm.stats())).code, 'invalid_state');
    assert.equal(vm.info.state, 'Suspended');
  });

  test('is woken after a restart of the daemon, also by who came while there was none', async () => {
    const { house, vm } = await asleep();
    await using _house = house;
    const port = portOf(vm);
    await house.kill();
    const connection = house.host.ports.connect(port);
    assert.equal(connection.state, 'waiting');
    await house.open();
    const again = await house.engine.get(vm.id);
    await again.waitFor('Running');
    await settled(again);
    assert.equal(connection.state, 'open');
  });

  test('is woken after a reboot of the host', async () => {
    const { house, vm } = await asleep();
    await using _house = house;
    const port = portOf(vm);
    await house.kill();
    house.host.reboot();
    assert.throws(() => house.host.ports.connect(port));
    await house.open();
    const again = await house.engine.get(vm.id);
    await settled(again);
    const connection = house.host.ports.connect(port);
    await again.waitFor('Running');
    await settled(again);
    assert.equal(connection.state, 'open');
  });

  test('closes who waits where it can not be woken, tells of it, and is tried anew by the next', async () => {
    const { house, vm } = await asleep();
    await using _house = house;
    house.host.faults.inject('launch.before-spawn', { effect: 'error' });
    const connection = house.host.ports.connect(portOf(vm));
    await settled(vm);
    assert.equal(connection.state, 'closed');
    assert.equal(vm.info.state, 'Suspended');
    assert.equal((await events(house, 'wake-failed')).length, 1);
    house.host.faults.inject('restore.load', { effect: 'crash' });
    const second = house.host.ports.connect(portOf(vm));
    await settled(vm);
    assert.equal(second.state, 'closed');
    const third = house.host.ports.connect(portOf(vm));
    await vm.waitFor('Running');
    await settled(vm);
    assert.equal(third.state, 'open');
  });

  test('gives its ports up when it is stopped for good', async () => {
    const { house, vm } = await asleep();
    await using _house = house;
    assert.deepEqual(house.host.ports.dormantDirs, [house.dir(vm.id)]);
    await vm.discard();
    await settled(vm);
    assert.deepEqual(house.host.ports.dormantDirs, []);
    assert.throws(() => house.host.ports.connect(portOf(vm)));
  });

  test('gives its ports up when it is deleted', async () => {
    const { house, vm } = await asleep();
    await using _house = house;
    await vm.delete();
    await settled(vm);
    assert.deepEqual(house.host.ports.dormantDirs, []);
  });
});

describe('the wake policy', () => {
  test('leaves one that somebody has suspended alone, unless it says always', async () => {
    const { house } = await standbyHouse();
    await using _house = house;
    const vm = await web(house);
    await vm.suspend();
    assert.equal((await failure(vm.exec(['true']))).code, 'invalid_state');
    assert.throws(() => house.host.ports.connect(portOf(vm)), 'its ports are closed');
    await vm.standby.set({ wake: 'always' });
    await settled(vm);
    const connection = house.host.ports.connect(portOf(vm));
    await vm.waitFor('Running');
    await settled(vm);
    assert.equal(connection.state, 'open');
    await vm.suspend();
    assert.equal((await vm.exec(['echo', 'up'])).stdout, 'up\n');
  });

  test('has nothing wake one that is never to be woken', async () => {
    const { house, clock } = await standbyHouse();
    await using _house = house;
    const vm = await web(house, { wake: 'never' });
    assert.equal(await passes(clock, vm, 60_000), 'Suspended');
    assert.throws(() => house.host.ports.connect(portOf(vm)));
    assert.equal((await failure(vm.exec(['true']))).code, 'invalid_state');
    await vm.start();
    assert.equal((await failure(vm.standby.set({ wake: 'sometimes' as never }))).code, 'invalid_request');
  });
});
