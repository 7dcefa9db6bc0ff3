import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { SimulatedGuest } from '../drivers/simulated/guest/index.ts';
import { connectGuest } from './connect.ts';
import { collect, connectedGuest, execSpec, guestConfig, testDeadlineMs } from './connected-guest.ts';

test('a guest is configured once, and tells how long each stage took', async () => {
  await using setting = await connectedGuest();
  const { stages } = await setting.guest.configure(guestConfig);
  assert.deepEqual(stages[0], { name: 'modules', milliseconds: 0.5 });
  await assert.rejects(setting.guest.configure(guestConfig), (error) => isVivError(error, 'conflict'));
  await setting.guest.identity({ ...guestConfig, hostname: 'copy' });
  assert.equal(setting.simulated.system.hostname, 'copy');
});

test('an identity says whether the guest is a copy and whether its connections end', async () => {
  await using setting = await connectedGuest();
  const { guest, simulated } = setting;
  await guest.configure(guestConfig);
  const network = { mac: '52:54:00:00:00:01', address: '10.1.2.2/24', gateway: '10.1.2.1', dns: [] };
  await guest.identity({ ...guestConfig, generation: 2, network, copy: true, resetConnections: true });
  await guest.identity({ ...guestConfig, generation: 3 });
  const told = simulated.system.identities.map(({ generation, address, copy, resetConnections }) => ({
    generation,
    address,
    copy,
    resetConnections,
  }));
  const plain = { address: undefined, copy: false, resetConnections: false };
  assert.deepEqual(told, [
    { ...plain, generation: 1 },
    { generation: 2, address: '10.1.2.2/24', copy: true, resetConnections: true },
    { ...plain, generation: 3 },
  ]);
});

test('a guest that is told what to count time by says what it does, and others say nothing', async () => {
  await using setting = await connectedGuest();
  const { guest, simulated } = setting;
  const { clockSource } = await guest.configure({ ...guestConfig, clockSource: 'acpi_pm' });
  assert.equal(clockSource, 'acpi_pm');
  assert.deepEqual(await guest.identity({ ...guestConfig, generation: 2 }), {});
  const unknown = { ...guestConfig, generation: 3, clockSource: 'sundial' };
  assert.deepEqual(await guest.identity(unknown), { clockSource: 'acpi_pm' });
  assert.equal(simulated.system.identities.at(-1)?.clockSource, 'sundial');
});

test('a guest is warmed, also before it is configured', async () => {
  await using setting = await connectedGuest();
  await setting.guest.warm([]);
  assert.equal(setting.simulated.system.warmed, 1);
});

test('nothing is started in a guest that stands still', async () => {
  await using setting = await connectedGuest();
  const { guest } = setting;
  await guest.freeze();
  await assert.rejects(guest.exec(execSpec(['true'])), (error) => isVivError(error, 'conflict'));
  await guest.thaw();
  await collect(await guest.exec(execSpec(['true'])));
});

test('the agent tells its version, its stats and what a path is', async () => {
  await using setting = await connectedGuest({ agentVersion: '9.9.9' });
  assert.equal(setting.guest.agentVersion, '9.9.9');
  assert.equal((await setting.guest.stats()).memory.totalBytes, 256 * 1024 * 1024);
  const stat = await setting.guest.stat('vm', '/tmp', false);
  assert.deepEqual(stat, {
    path: '/tmp',
    kind: 'directory',
    sizeBytes: 0,
    mode: 0o1777,
    uid: 0,
    gid: 0,
    modifiedAt: '1970-01-01T00:00:00.000Z',
  });
  await setting.guest.growRoot();
});

test("an error of the guest keeps its code; a code that is not the guest's to use becomes guest_error", async () => {
  await using setting = await connectedGuest();
  await assert.rejects(setting.guest.stat('vm', '/none', false), (error) => {
    assert.ok(isVivError(error, 'path_not_found'));
    assert.deepEqual(error.details, { errno: 2 });
    return true;
  });
  setting.simulated.faults.errors.set('ping', { code: 'data_dir_locked', message: 'evil\u001b[2J' });
  await assert.rejects(setting.guest.ping(), (error) => {
    assert.ok(isVivError(error, 'guest_error'));
    assert.equal(error.message, 'evil?[2J');
    assert.deepEqual(error.details, { guestCode: 'data_dir_locked' });
    return true;
  });
});

test('a failed boot names its stage', async () => {
  await using setting = await connectedGuest();
  setting.simulated.faults.errors.set('configure', {
    code: 'boot_failed',
    message: 'no disk',
    stage: 'disks',
  });
  await assert.rejects(
    setting.guest.configure(guestConfig),
    (error) => isVivError(error, 'boot_failed') && error.details?.stage === 'disks',
  );
});

test('a deadline ends a call that is never answered, and the next call works', async () => {
  await using setting = await connectedGuest();
  setting.simulated.faults.silent.add('stats');
  await assert.rejects(setting.guest.stats(AbortSignal.timeout(5)), (error) => isVivError(error, 'timeout'));
  await assert.rejects(setting.guest.stats(AbortSignal.abort()), (error) => isVivError(error, 'cancelled'));
  await setting.guest.ping();
});

test('an answer that comes after its call was given up is dropped', async () => {
  await using setting = await connectedGuest();
  const delayed = Promise.withResolvers<void>();
  setting.simulated.faults.delays.set('stats', 1);
  const abort = new AbortController();
  const stats = setting.guest.stats(abort.signal).finally(delayed.resolve);
  abort.abort();
  await assert.rejects(stats, (error) => isVivError(error, 'cancelled'));
  await delayed.promise;
  await setting.guest.stats();
});

test('losing the channel fails every call under way and settles closed', async () => {
  await using setting = await connectedGuest();
  setting.simulated.faults.silent.add('ping');
  const calls = [setting.guest.ping(), setting.guest.ping(), setting.guest.ping()];
  setting.simulated.drop('control');
  for (const call of calls) await assert.rejects(call, (error) => isVivError(error, 'agent_unreachable'));
  await setting.guest.closed;
  await assert.rejects(setting.guest.stats(), (error) => isVivError(error, 'agent_unreachable'));
});

test('an agent that answers nonsense ends the channel with protocol_error', async () => {
  await using setting = await connectedGuest();
  setting.simulated.faults.errors.set('ping', { code: 7 as unknown as string, message: 'x' });
  await assert.rejects(setting.guest.ping(), (error) => isVivError(error, 'protocol_error'));
  await setting.guest.closed;
});

test('a guest that is not up yet is greeted when it comes; a signal ends the wait', async () => {
  const simulated = new SimulatedGuest();
  simulated.faults.mute = true;
  const never = connectGuest(async (channel) => simulated.connect(channel), AbortSignal.timeout(10));
  await assert.rejects(never, (error) => isVivError(error, 'timeout'));
  simulated.faults.mute = false;
  await using guest = await connectGuest(
    async (channel) => simulated.connect(channel),
    AbortSignal.timeout(testDeadlineMs),
  );
  await guest.ping();
  simulated.end();
});

test('a port that cannot be opened is agent_unreachable, or its own VivError', async () => {
  const refused = connectGuest(() => Promise.reject(new Error('ECONNREFUSED')));
  await assert.rejects(refused, (error) => isVivError(error, 'agent_unreachable'));
});

test('a workload tells its exit by event and by status', async () => {
  await using setting = await connectedGuest();
  const { guest } = setting;
  await guest.configure(guestConfig);
  const told = Promise.withResolvers<unknown>();
  guest.onWorkloadExit(told.resolve);
  const workload = { argv: ['cat'], env: {}, cwd: '/', user: '', stdin: 'open', output: 'ring' } as const;
  assert.ok((await guest.startWorkload({ id: 'root', ...workload, argv: [...workload.argv] })).pid > 0);
  assert.equal(await guest.workloadExit('root'), undefined);
  await guest.signalWorkload('root', 'SIGTERM');
  const exit = { id: 'root', code: 143, signal: 'SIGTERM', oom: false };
  assert.deepEqual(await told.promise, exit);
  assert.deepEqual(await guest.workloadExit('root'), exit);
  await assert.rejects(guest.workloadExit('none'), (error) => isVivError(error, 'not_found'));
});

test('a frozen workload says nothing until it is thawed', async () => {
  await using setting = await connectedGuest();
  const { guest } = setting;
  await guest.configure(guestConfig);
  const spec = {
    id: 'root',
    argv: ['cat'],
    env: {},
    cwd: '/',
    user: '',
    stdin: 'open',
    output: 'retain',
  } as const;
  await guest.startWorkload({ ...spec, argv: ['cat'] });
  const session = await guest.resumeExec('workload:root');
  let printed = '';
  const reading = (async () => {
    for await (const { data } of session.output) printed += Buffer.from(data).toString();
  })();
  await guest.freeze();
  await session.write(Buffer.from('hello'));
  await session.end();
  for (let n = 0; n < 20; n += 1) {
    await guest.ping();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(printed, '');
  assert.equal(await guest.workloadExit('root'), undefined);
  await guest.thaw();
  assert.equal((await session.exit).code, 0);
  await reading;
  assert.equal(printed, 'hello');
});

test('shutdown is agreed to at once, and the guest switches itself off', async () => {
  const off = Promise.withResolvers<void>();
  await using setting = await connectedGuest({ onPowerOff: off.resolve });
  await setting.guest.shutdown({ graceMs: 100 });
  await off.promise;
  await setting.guest.closed;
});
