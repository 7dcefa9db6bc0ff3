import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { isMachine, until, withCode } from '../conformance/bench.ts';
import {
  type Channel,
  type DiskLayerer,
  isDiskLayerer,
  isMachineSaver,
  type Machine,
  type MachineSpec,
} from '../driver.ts';
import { allFaultPoints, type FaultPointName, Faults, faultPoints } from './faults.ts';
import { SimulatedMachines } from './simulated-machines.ts';

let machines: SimulatedMachines;
let spec: MachineSpec;

before(async () => {
  machines = await SimulatedMachines.open({ answerMs: 20 });
});
beforeEach(async () => {
  const root = { serial: 'root', path: '/root.qcow2', format: 'qcow2', readOnly: false } as const;
  spec = await machines.spec({ disks: [root] });
});
afterEach(async () => {
  machines.host.faults.clear();
  machines.host.reboot();
});
after(() => machines[Symbol.asyncDispose]());

async function save(machine: Machine): Promise<void> {
  assert(isMachineSaver(machine));
  const dir = await mkdtemp(path.join(machines.home, 'saved-'));
  const guest = { hostname: 'saved', machineId: '0'.repeat(32), generation: 1 };
  await machine.save({ dir, guest, afterwards: 'continue' });
}

function layerer(machine: Machine): Machine & DiskLayerer {
  assert(isDiskLayerer(machine));
  return machine;
}

/** The call that meets each point of a live machine. */
const calls: Partial<Record<FaultPointName, (machine: Machine) => Promise<unknown>>> = {
  status: (machine) => machine.status(),
  pause: (machine) => machine.pause(),
  resume: (machine) => machine.resume(),
  powerdown: (machine) => machine.powerdown(),
  'guest-off': (machine) => machine.onGuestOff('keep'),
  'open.control': (machine) => machine.open('control'),
  'open.bulk': (machine) => machine.open('bulk'),
  'open.console': (machine) => machine.open('console'),
  'save.memory': save,
  'save.devices': save,
  'save.update': save,
  'add-layer': (machine) => layerer(machine).addLayer('root', '/root.next.qcow2'),
  'top-layer': (machine) => layerer(machine).topLayer('root'),
  adopt: () => machines.restarted().adopt(spec.dir),
};

describe('a fault in a call to a live machine', () => {
  for (const [point, call] of Object.entries(calls) as [
    FaultPointName,
    (machine: Machine) => Promise<unknown>,
  ][]) {
    test(`${point}: an error is that error, and the machine lives`, async () => {
      const machine = await machines.driver.launch(spec);
      machines.host.faults.inject(point, { effect: 'error', code: 'disk_full' });
      await assert.rejects(call(machine), withCode('disk_full'));
      assert.equal(await machine.status(), 'running');
      await call(machine);
    });

    test(`${point}: a VMM that hangs has failed after its time, and lives`, async () => {
      const machine = await machines.driver.launch(spec);
      machines.host.faults.inject(point, { effect: 'hang' });
      await assert.rejects(call(machine), withCode('vmm_failed'));
      assert.equal(await machine.status(), 'running');
    });

    test(`${point}: a VMM that crashes is seen at once, with its signal`, async () => {
      const machine = await machines.driver.launch(spec);
      machines.host.faults.inject(point, { effect: 'crash', signal: 'SIGBUS' });
      await call(machine).catch(withCode('vmm_failed'));
      assert.equal((await machine.exited).signal, 'SIGBUS');
      assert.equal(await machine.status(), 'exited');
    });
  }
});

describe('a fault in a launch', () => {
  for (const point of ['launch.before-spawn', 'launch.after-spawn', 'launch.before-ready'] as const) {
    test(`${point}: an error leaves nothing`, async () => {
      machines.host.faults.inject(point, { effect: 'error' });
      await assert.rejects(machines.driver.launch(spec), withCode('vmm_failed'));
      await nothingIsLeft();
    });

    test(`${point}: a launch that hangs can be cancelled and leaves nothing`, async () => {
      machines.host.faults.inject(point, { effect: 'hang' });
      const cancel = new AbortController();
      const reached = machines.host.faults.reached(point);
      const launch = machines.driver.launch(spec, cancel.signal);
      await reached;
      cancel.abort();
      await assert.rejects(launch, withCode('cancelled'));
      await nothingIsLeft();
    });

    test(`${point}: a launch that hung goes on once the fault is cleared`, async () => {
      machines.host.faults.inject(point, { effect: 'hang' });
      const reached = machines.host.faults.reached(point);
      const launch = machines.driver.launch(spec);
      await reached;
      machines.host.faults.clear();
      assert.equal(await (await launch).status(), 'running');
    });
  }

  for (const point of ['launch.after-spawn', 'launch.before-ready'] as const) {
    test(`${point}: a crash fails the launch and leaves nothing`, async () => {
      machines.host.faults.inject(point, { effect: 'crash' });
      await assert.rejects(machines.driver.launch(spec), withCode('vmm_failed'));
      await nothingIsLeft();
    });
  }

  test('a launch that fails gives its ports back', async () => {
    const publish = [
      { hostAddress: '127.0.0.1', hostPort: 8080, guestPort: 80, binding: 'required' } as const,
    ];
    machines.host.faults.inject('launch.before-ready', { effect: 'error' });
    await assert.rejects(machines.driver.launch({ ...spec, publish }), withCode('vmm_failed'));
    const machine = await machines.driver.launch({ ...spec, publish });
    assert.equal(machine.record.ports[0]?.hostPort, 8080);
  });

  test('a machine whose directory is in use is refused, and the one that lives there goes on', async () => {
    const machine = await machines.driver.launch(spec);
    await assert.rejects(machines.driver.launch(spec), withCode('conflict'));
    assert.equal(await machine.status(), 'running');
  });
});

describe('a fault in a boot', () => {
  for (const point of ['boot.kernel', 'boot.init'] as const) {
    test(`${point}: a panic is a status, and its words are on the console`, async () => {
      machines.host.faults.inject(point, { effect: 'panic', message: 'out of luck' });
      const machine = await machines.driver.launch(spec);
      await until(machine, 'panicked');
      assert.match(
        await readFile(path.join(spec.dir, 'console.log'), 'utf8'),
        /Kernel panic - not syncing: out of luck/,
      );
      assert.equal((await machine.kill()).signal, 'SIGKILL');
    });

    test(`${point}: a guest that hangs leaves the agent silent, and the VMM can be killed`, async () => {
      machines.host.faults.inject(point, { effect: 'hang' });
      const machine = await machines.driver.launch(spec);
      const signal = AbortSignal.timeout(30);
      await assert.rejects(machines.connectGuest((channel) => machine.open(channel), signal));
      assert.equal(await machine.status(), 'running');
      await machine.kill();
    });

    test(`${point}: a crash is the end of the machine`, async () => {
      machines.host.faults.inject(point, { effect: 'crash' });
      const machine = await machines.driver.launch({ ...spec, run: false });
      await machine.resume();
      assert.equal((await machine.exited).signal, 'SIGSEGV');
    });
  }

  test('a kernel that reboots when it panics takes its VMM along', async () => {
    machines.host.faults.inject('boot.init', { effect: 'panic' });
    const boot = {
      kind: 'direct',
      kernel: '/kernel',
      initramfs: '/initramfs',
      cmdline: 'quiet panic=-1',
    } as const;
    const machine = await machines.driver.launch({ ...spec, boot });
    assert.equal((await machine.exited).code, 0);
  });

  test('a kill that overtakes the end of a panicked VMM is its end', async () => {
    machines.host.faults.inject('boot.init', { effect: 'panic' });
    const boot = { kind: 'direct', kernel: '/kernel', initramfs: '/initramfs', cmdline: 'panic=-1' } as const;
    const machine = await machines.driver.launch({ ...spec, boot, run: false });
    const killed = new Promise((resolve) => {
      machine.onStatus((status) => status === 'panicked' && resolve(machine.kill()));
    });
    await machine.resume();
    const exit = await killed;
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
    assert.equal((await machine.exited).signal, 'SIGKILL');
    assert.deepEqual(await machines.restarted().adopt(spec.dir), exit);
  });

  test('a guest that comes up late answers then', async () => {
    machines.host.faults.inject('boot.init', { effect: 'delay', milliseconds: 20 });
    const machine = await machines.driver.launch(spec);
    const guest = await machines.connectGuest((channel) => machine.open(channel), AbortSignal.timeout(5000));
    await guest.ping();
    await guest[Symbol.asyncDispose]();
  });
});

describe('a fault at the end', () => {
  test('a VMM that cannot be proven gone fails the kill and is alive, until a kill succeeds', async () => {
    const machine = await machines.driver.launch(spec);
    machines.host.faults.inject('kill', { effect: 'hang' });
    await assert.rejects(machine.kill(), withCode('vmm_failed'));
    assert.equal(await machine.status(), 'running');
    assert.equal((await machine.kill()).signal, 'SIGKILL');
  });

  test('an end that nobody saw has neither code nor signal', async () => {
    const machine = await machines.driver.launch(spec);
    machines.host.faults.inject('exit.unobserved', { effect: 'error' });
    const { at, ...exit } = await machine.kill();
    assert.deepEqual(exit, { unobserved: true, stderr: '' });
  });

  test('a reboot of the host ends every machine unseen', async () => {
    await machines.driver.launch(spec);
    machines.host.reboot();
    const found = await machines.restarted().adopt(spec.dir);
    assert(found !== undefined && !isMachine(found) && found.unobserved);
  });

  test('a crash is told to whoever watches', async () => {
    const machine = await machines.driver.launch(spec);
    machines.host.crash(spec.dir, { signal: 'SIGKILL' });
    await until(machine, 'exited');
    assert.throws(() => machines.host.crash(spec.dir), withCode('not_found'));
  });

  test('the end of the driving process cuts every connection, and ends what was not detached', async () => {
    const bound = await machines.driver.launch({ ...(await machines.spec()), detached: false });
    const machine = await machines.driver.launch(spec);
    const stream = await machine.open('control');
    machines.host.driverProcessDied();
    assert.equal(stream.destroyed, true);
    assert.equal(await bound.status(), 'exited');
    const found = await machines.restarted().adopt(spec.dir);
    assert(found !== undefined && isMachine(found));
    assert.deepEqual(found.record, machine.record);
  });
});

describe('a frozen machine', () => {
  test('holds what is written to it until it runs again', async () => {
    const machine = await machines.driver.launch(spec);
    const guest = await machines.connectGuest((channel) => machine.open(channel), AbortSignal.timeout(5000));
    await machine.pause();
    let answered = false;
    const ping = guest.ping().then(() => {
      answered = true;
    });
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    assert.equal(answered, false);
    await machine.resume();
    await ping;
    await guest[Symbol.asyncDispose]();
  });
});

describe('a guest that is off while its VMM is kept', () => {
  test('leaves the channels open and silent, and refuses to run again', async () => {
    const machine = await machines.driver.launch(spec);
    const guest = await machines.connectGuest((channel) => machine.open(channel), AbortSignal.timeout(5000));
    await machine.onGuestOff('keep');
    let closed = false;
    guest.closed.then(() => {
      closed = true;
    });
    await guest.shutdown({ graceMs: 10 });
    await until(machine, 'shutdown');
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    assert.equal(closed, false);
    await assert.rejects(machine.resume(), withCode('vmm_failed'));
    await guest[Symbol.asyncDispose]();
  });
});

describe('a foreign guest', () => {
  test('has no agent, and obeys the power button', async () => {
    const machine = await machines.driver.launch({ ...spec, guest: 'none' });
    for (const channel of ['control', 'bulk'] satisfies Channel[]) {
      await assert.rejects(machine.open(channel), withCode('not_supported'));
    }
    await machine.powerdown();
    assert.equal((await machine.exited).code, 0);
  });

  test('may ignore the power button', async () => {
    const machine = await machines.driver.launch({ ...spec, guest: 'none' });
    machines.host.faults.inject('powerdown', { effect: 'ignore' });
    await machine.powerdown();
    assert.equal(await machine.status(), 'running');
  });
});

describe('the plan of faults', () => {
  test('lists what is still to come, and each strikes as often as it was asked to', async () => {
    const faults = new Faults();
    faults.inject('pause', { effect: 'error' }, { times: 2 });
    faults.inject('pause', { effect: 'hang' }, { dir: '/b' });
    assert.deepEqual(
      faults.list().map(({ point, fault, left, dir }) => [point, fault.effect, left, dir]),
      [
        ['pause', 'error', 2, undefined],
        ['pause', 'hang', 1, '/b'],
      ],
    );
    const struck = ['/a', '/b', '/a', '/b'].map((dir) => faults.take('pause', dir)?.effect);
    assert.deepEqual(struck, ['error', 'error', undefined, 'hang']);
    assert.deepEqual(faults.list(), []);
  });

  test('refuses an effect that a point does not know', () => {
    assert.throws(() => new Faults().inject('pause', { effect: 'panic' }), /pause knows no panic/);
  });

  test('has every point described', () => {
    for (const point of allFaultPoints) {
      assert(faultPoints[point].effects.length > 0);
      assert.notEqual(faultPoints[point].meaning, '');
    }
  });
});

async function nothingIsLeft(): Promise<void> {
  assert.deepEqual(await machines.leftovers(), []);
  assert.equal(await machines.restarted().adopt(spec.dir), undefined);
}
