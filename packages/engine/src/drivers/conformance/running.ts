import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineStatus } from '../driver.ts';
import { type Bench, until, withCode, within } from './bench.ts';

/** A machine's life: pause, power off, kill, and what is told of it. */
export function runningTests(bench: Bench): void {
  test('pause freezes the machine and resume lets it run; both may be repeated', async () => {
    const machine = await bench.launch();
    const guest = await bench.connect(machine);
    await machine.pause();
    assert.equal(await machine.status(), 'paused');
    await machine.pause();
    await machine.resume();
    assert.equal(await machine.status(), 'running');
    await machine.resume();
    await guest.ping();
  });

  test('a running machine takes a press of the power button', async () => {
    const machine = await bench.launch();
    await bench.connect(machine);
    await machine.powerdown();
  });

  test('a guest that powers off ends its VMM, with exit code 0', async () => {
    const machine = await bench.launch();
    const guest = await bench.connect(machine);
    await guest.shutdown({ graceMs: 1000 });
    const exit = await within(machine.exited, 'the end of the VMM', bench.context.bootTimeoutMs);
    assert.equal(exit.code, 0);
    assert.equal(exit.signal, undefined);
    assert.equal(await machine.status(), 'exited');
  });

  test('a guest that powers off leaves its VMM alive where that was asked for', async () => {
    if (!bench.context.driver.capabilities().shutdownKeepsVmm) return;
    const machine = await bench.launch();
    const guest = await bench.connect(machine);
    await machine.onGuestOff('keep');
    await guest.shutdown({ graceMs: 1000 });
    await until(machine, 'shutdown', bench.context.bootTimeoutMs);
    assert.equal((await machine.kill()).signal, 'SIGKILL');
  });

  test('the last word on what a power-off does counts', async () => {
    const machine = await bench.launch();
    const guest = await bench.connect(machine);
    await machine.onGuestOff('keep');
    await machine.onGuestOff('exit');
    await guest.shutdown({ graceMs: 1000 });
    assert.equal((await within(machine.exited, 'the end of the VMM', bench.context.bootTimeoutMs)).code, 0);
  });

  test('status changes are told in order, and the last is exited', async () => {
    const machine = await bench.launch({ run: false });
    const told: MachineStatus[] = [];
    machine.onStatus((status) => told.push(status));
    await machine.resume();
    await until(machine, 'running');
    await machine.pause();
    await until(machine, 'paused');
    await machine.kill();
    await until(machine, 'exited');
    assert.deepEqual(told, ['running', 'paused', 'exited']);
  });

  test('an ended subscription hears nothing more', async () => {
    const machine = await bench.launch();
    const told: MachineStatus[] = [];
    machine.onStatus((status) => told.push(status))();
    await machine.pause();
    await machine.kill();
    assert.deepEqual(told, []);
  });

  endingTests(bench);
}

function endingTests(bench: Bench): void {
  test('kill ends the machine, may be repeated, and always tells the same end', async () => {
    const machine = await bench.launch();
    const [first, second] = await Promise.all([machine.kill(), machine.kill()]);
    assert.equal(first.signal, 'SIGKILL');
    assert.deepEqual(second, first);
    assert.deepEqual(await machine.kill(), first);
    assert.deepEqual(await machine.exited, first);
    assert(!Number.isNaN(Date.parse(first.at)));
    assert.deepEqual(await bench.context.leftovers(), []);
  });

  test('a paused machine and a prepared one can be killed', async () => {
    const [paused, prepared] = [await bench.launch(), await bench.launch({ run: false })];
    await paused.pause();
    assert.equal((await paused.kill()).signal, 'SIGKILL');
    assert.equal((await prepared.kill()).signal, 'SIGKILL');
  });

  test('a machine that has ended says so and takes no more orders', async () => {
    const machine = await bench.launch();
    await machine.kill();
    assert.equal(await machine.status(), 'exited');
    await assert.rejects(machine.pause(), withCode('vmm_failed'));
    await assert.rejects(machine.resume(), withCode('vmm_failed'));
    await assert.rejects(machine.powerdown(), withCode('vmm_failed'));
    await assert.rejects(machine.open('control'), withCode('vmm_failed'));
  });

  test('a directory can be launched in again after its machine has ended', async () => {
    const spec = await bench.context.spec();
    await (await bench.launchSpec(spec)).kill();
    const again = await bench.launchSpec(spec);
    assert.equal(await again.status(), 'running');
    await bench.abandon(again);
    assert.deepEqual((await bench.adopt(spec.dir)).record.vmm, again.record.vmm);
  });
}
