import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withCode, within } from '../conformance/bench.ts';
import { isDiskGrower, type Machine, type MachineSpec, type MachineStatus } from '../driver.ts';
import { QmpClient } from '../qemu/qmp.ts';
import type { EffectAt } from '../simulated/faults.ts';
import type { Provocation, Provocations } from './provocation.ts';
import { removeAtEnd, type Stage } from './stage.ts';
import { alteredQemu, ControlLine, qemuBehindLine } from './stand-ins.ts';

export type Call = (machine: Machine) => Promise<unknown>;

export interface Order {
  call: Call;
  /** What the machine needs for it. */
  needs?: (stage: Stage) => Promise<Partial<MachineSpec>>;
  /** What it is once a QEMU that hung has done what it was asked to, after all. Default running. */
  afterwards?: MachineStatus;
}

/** QEMU itself says no: it has not made its machine yet. It does when another monitor lets it. */
function refusedByPreconfig(call: Call): Provocation {
  return async (stage) => {
    const second = 'second.sock';
    const more = ['--preconfig', '-qmp', `unix:${second},server=on,wait=off`];
    const machine = await stage.launch({}, await alteredQemu(stage, { more }));
    removeAtEnd(stage, path.join(machine.record.dir, second));
    await assert.rejects(call(machine), refusal);
    assert.equal(await machine.status(), 'created');
    const monitor = await QmpClient.connect(machine.record.dir, second);
    await monitor.execute('x-exit-preconfig', {}, 10_000);
    monitor.close();
    assert.equal(await machine.status(), 'running');
    await call(machine);
  };
}

/** Of a command that QEMU never refuses: its control socket is lost, and nobody is there. */
function refusedByNobody(call: Call): Provocation {
  return async (stage) => {
    const spec = await stage.real.spec();
    const line = new ControlLine(stage, spec.dir);
    const launch = stage.driver({ qemuPath: await qemuBehindLine(stage) }).launch(spec);
    const [machine] = await Promise.all([launch, line.mendOnceUp()]);
    stage.keep(machine);
    await line.cut();
    await assert.rejects(call(machine), withCode('vmm_failed'));
    await line.mend();
    assert.equal(await machine.status(), 'running');
    await call(machine);
  };
}

function refusal(error: Error): boolean {
  return withCode('vmm_failed')(error) && /QEMU refused: /.test(error.message);
}

async function hangs(stage: Stage, { call, needs, afterwards = 'running' }: Order): Promise<void> {
  const machine = await stage.launch(await needs?.(stage));
  stage.freeze(machine.record.vmm);
  await assert.rejects(within(call(machine), 'the failure', 3_000), withCode('vmm_failed'));
  stage.thaw(machine.record.vmm);
  assert.equal(await machine.status(), afterwards);
}

export async function crashes(stage: Stage, { call, needs }: Order): Promise<void> {
  const machine = await stage.launch(await needs?.(stage));
  stage.freeze(machine.record.vmm);
  const called = call(machine);
  process.kill(machine.record.vmm.pid, 'SIGSEGV');
  stage.thaw(machine.record.vmm);
  await called.catch(withCode('vmm_failed'));
  assert.equal((await within(machine.exited, 'the end', 1_000)).signal, 'SIGSEGV');
  assert.equal(await machine.status(), 'exited');
  assert.deepEqual(await stage.real.leftovers(), []);
}

async function isLate(stage: Stage, { call, needs }: Order): Promise<void> {
  const machine = await stage.launch(await needs?.(stage));
  stage.freeze(machine.record.vmm);
  const called = call(machine);
  await sleep(100);
  stage.thaw(machine.record.vmm);
  await called;
  assert.notEqual(await machine.status(), 'exited');
}

export function order(order: Order, error: Provocation): Record<EffectAt<'status'>, Provocation> {
  return {
    error,
    hang: (stage) => hangs(stage, order),
    crash: (stage) => crashes(stage, order),
    delay: (stage) => isLate(stage, order),
  };
}

const status: Call = (machine) => machine.status();
const pause: Call = (machine) => machine.pause();
const resume: Call = (machine) => machine.resume();
const powerdown: Call = (machine) => machine.powerdown();
const guestOff: Call = (machine) => machine.onGuestOff('keep');

const growTo =
  (serial: string): Call =>
  (machine) => {
    assert(isDiskGrower(machine));
    return machine.growDisk(serial, 2 * 2 ** 20);
  };

async function withDisk(stage: Stage): Promise<Partial<MachineSpec>> {
  const file = path.join(stage.real.home, 'disk.raw');
  await writeFile(file, '');
  await truncate(file, 2 ** 20);
  removeAtEnd(stage, file);
  return { disks: [{ serial: 'root', path: file, format: 'raw', readOnly: false }] };
}

async function growIsRefused(stage: Stage): Promise<void> {
  const machine = await stage.launch(await withDisk(stage));
  await assert.rejects(growTo('nowhere')(machine), withCode('vmm_failed'));
  assert.equal(await machine.status(), 'running');
  await growTo('root')(machine);
}

/** Firmware that finds nothing to boot has no use for the button. */
async function isIgnored(stage: Stage): Promise<void> {
  const machine = await stage.launch({ guest: 'none', boot: { kind: 'firmware' } });
  await machine.powerdown();
  assert.equal(await machine.status(), 'running');
}

type Point = 'status' | 'pause' | 'resume' | 'powerdown' | 'guest-off' | 'grow-disk';

export const ordering: Provocations<Point> = {
  status: order({ call: status }, refusedByNobody(status)),
  pause: order({ call: pause, afterwards: 'paused' }, refusedByPreconfig(pause)),
  resume: order({ call: resume }, refusedByPreconfig(resume)),
  powerdown: {
    ...order({ call: powerdown }, refusedByPreconfig(powerdown)),
    ignore: isIgnored,
  },
  'guest-off': order({ call: guestOff }, refusedByNobody(guestOff)),
  'grow-disk': order({ call: growTo('root'), needs: withDisk }, growIsRefused),
};
