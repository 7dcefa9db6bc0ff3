import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { characterDevice, cpio, directory, file } from '../../setup/cpio.ts';
import { within } from '../conformance/bench.ts';
import type { Machine, MachineSpec } from '../driver.ts';
import type { Provocations } from './provocation.ts';
import { consoleSays, patienceMs, removeAtEnd, type Stage } from './stage.ts';
import { alteredQemu } from './stand-ins.ts';

/** What the console shows when the guest is where the fault is to strike. */
const marks = { kernel: /Linux version/, init: /Run \/init as init process/ };

/** Boot from an initramfs without an agent: with `init`, a program that ends at once, or with nothing to run at all. */
async function without(stage: Stage, cmdline: string, init?: string): Promise<MachineSpec['boot']> {
  const initramfs = path.join(stage.real.home, 'initramfs.cpio');
  const program = init === undefined ? [] : [file('init', await readFile(init), 0o755)];
  const devices = [characterDevice('dev/console', 5, 1), characterDevice('dev/null', 1, 3)];
  await writeFile(initramfs, cpio([directory('dev'), ...devices, ...program]));
  removeAtEnd(stage, initramfs);
  const kernel = stage.real.assets.kernel.path;
  return { kind: 'direct', kernel, initramfs, cmdline: `console=ttyS0 reboot=t ${cmdline}` };
}

/** The agent is silent, the VMM is not, and it can be ended. */
async function isSilent(stage: Stage, machine: Machine): Promise<void> {
  const signal = AbortSignal.timeout(200);
  await assert.rejects(stage.real.connectGuest((channel) => machine.open(channel), signal));
  assert.equal(await machine.status(), 'running');
  assert.equal((await machine.kill()).signal, 'SIGKILL');
}

async function crashesAt(stage: Stage, mark: RegExp): Promise<void> {
  const machine = await stage.launch({ run: false });
  await machine.resume();
  await consoleSays(machine, mark);
  process.kill(machine.record.vmm.pid, 'SIGSEGV');
  assert.equal((await within(machine.exited, 'the end')).signal, 'SIGSEGV');
}

async function isLateAt(stage: Stage, mark: RegExp): Promise<void> {
  const machine = await stage.launch();
  await consoleSays(machine, mark);
  stage.freeze(machine.record.vmm);
  await sleep(100);
  stage.thaw(machine.record.vmm);
  await stage.guestAnswers(machine);
}

export const booting: Provocations<'boot.kernel' | 'boot.init'> = {
  'boot.kernel': {
    // A kernel that reboots takes its VMM along. There is no device by which this guest could tell QEMU of its panic, so
    // that the words on the console are all there is of it.
    panic: async (stage) => {
      const machine = await stage.launch({ boot: await without(stage, 'panic=-1') });
      assert.equal((await within(machine.exited, 'the end', patienceMs)).code, 0);
      await consoleSays(machine, /Kernel panic - not syncing: VFS: Unable to mount root fs/);
    },
    hang: async (stage) => {
      const machine = await stage.launch({ boot: await without(stage, 'root=/dev/nowhere rootwait') });
      await consoleSays(machine, /Waiting for root device \/dev\/nowhere/);
      await isSilent(stage, machine);
    },
    crash: (stage) => crashesAt(stage, marks.kernel),
    delay: (stage) => isLateAt(stage, marks.kernel),
  },
  'boot.init': {
    // A kernel that does not reboot stays, and its VMM can be ended.
    panic: async (stage) => {
      const boot = await without(stage, 'panic=0', stage.real.assets.shim.path);
      const machine = await stage.launch({ boot });
      await consoleSays(machine, /Kernel panic - not syncing: Attempted to kill init!/);
      assert.equal((await machine.kill()).signal, 'SIGKILL');
    },
    // The agent waits for a channel that has another name.
    hang: async (stage) => {
      const qemuPath = await alteredQemu(stage, { from: 'name=vivarium.control', to: 'name=nobody' });
      const machine = await stage.launch({}, qemuPath);
      await consoleSays(machine, marks.init);
      await isSilent(stage, machine);
    },
    crash: (stage) => crashesAt(stage, marks.init),
    delay: (stage) => isLateAt(stage, marks.init),
  },
};
