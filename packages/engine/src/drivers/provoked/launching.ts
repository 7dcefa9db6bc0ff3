import assert from 'node:assert/strict';
import { waitUntilGone } from '../../host/identity.ts';
import { withCode } from '../conformance/bench.ts';
import type { Machine, MachineSpec, ProcessIdentity } from '../driver.ts';
import type { Provocations } from './provocation.ts';
import { isThere, type Stage, vmmIn } from './stage.ts';
import { ControlLine, Gate, hiddenSocket, qemuBehindLine, realQemu } from './stand-ins.ts';

/** A launch that has come to its fault point. */
interface Held {
  spec: MachineSpec;
  launch: Promise<Machine>;
  cancel: AbortController;
  /** Who must be gone if the launch fails. */
  process: ProcessIdentity;
}

interface AtGate extends Held {
  gate: Gate;
}

/** A gate where the shim or where QEMU should be. */
async function heldAtGate(stage: Stage, where: 'shim' | 'qemu'): Promise<AtGate> {
  const gate = await Gate.before(stage, where === 'shim' ? stage.real.assets.shim.path : await realQemu());
  const driver = stage.driver(where === 'shim' ? { shimPath: gate.path } : { qemuPath: gate.path });
  const [spec, cancel] = [await stage.real.spec(), new AbortController()];
  const launch = driver.launch(spec, cancel.signal);
  launch.catch(() => {}); // looked at by the test
  return { spec, launch, cancel, gate, process: await gate.reached() };
}

interface BehindLine extends Held {
  line: ControlLine;
}

/** QEMU is up; the driver has not found its socket yet. */
async function heldBehindLine(stage: Stage): Promise<BehindLine> {
  const driver = stage.driver({ qemuPath: await qemuBehindLine(stage) });
  const [spec, cancel] = [await stage.real.spec(), new AbortController()];
  const line = new ControlLine(stage, spec.dir);
  const launch = driver.launch(spec, cancel.signal);
  launch.catch(() => {}); // looked at by the test
  await isThere(hiddenSocket(spec.dir));
  return { spec, launch, cancel, line, process: await vmmIn(spec.dir) };
}

async function isCancelled(stage: Stage, held: Held): Promise<void> {
  held.cancel.abort();
  await failsAndLeavesNothing(stage, held, 'cancelled');
}

async function failsAndLeavesNothing(
  stage: Stage,
  { launch, process, spec }: Held,
  code: 'vmm_failed' | 'cancelled',
  words = /./,
): Promise<void> {
  await assert.rejects(launch, (error: Error) => withCode(code)(error) && words.test(error.message));
  assert(await waitUntilGone(process, 0));
  // A QEMU that is killed does not remove its sockets, and the driver doesn't know of this one.
  await stage.undo();
  await stage.nothingIsLeftIn(spec.dir);
}

async function goesOn(stage: Stage, { launch }: Held): Promise<void> {
  assert.equal(await stage.keep(await launch).status(), 'running');
}

type Point = 'launch.before-spawn' | 'launch.after-spawn' | 'launch.before-ready';

export const launching: Provocations<Point> = {
  'launch.before-spawn': {
    error: async (stage) => {
      const held = await heldAtGate(stage, 'shim');
      await held.gate.order('fail');
      await failsAndLeavesNothing(stage, held, 'vmm_failed');
    },
    hang: async (stage) => isCancelled(stage, await heldAtGate(stage, 'shim')),
    delay: async (stage) => {
      const held = await heldAtGate(stage, 'shim');
      await held.gate.order('pass');
      await goesOn(stage, held);
    },
  },
  'launch.after-spawn': {
    error: async (stage) => {
      const held = await heldAtGate(stage, 'qemu');
      await held.gate.order('fail');
      await failsAndLeavesNothing(stage, held, 'vmm_failed', /exit code 1.*out of luck/);
    },
    hang: async (stage) => isCancelled(stage, await heldAtGate(stage, 'qemu')),
    crash: async (stage) => {
      const held = await heldAtGate(stage, 'qemu');
      await held.gate.order('crash');
      await failsAndLeavesNothing(stage, held, 'vmm_failed', /SIGSEGV/);
    },
    delay: async (stage) => {
      const held = await heldAtGate(stage, 'qemu');
      await held.gate.order('pass');
      await goesOn(stage, held);
    },
  },
  'launch.before-ready': {
    error: async (stage) => {
      const held = await heldBehindLine(stage);
      await held.line.hangUp();
      await failsAndLeavesNothing(stage, held, 'vmm_failed', /closed its control socket/);
    },
    hang: async (stage) => isCancelled(stage, await heldBehindLine(stage)),
    crash: async (stage) => {
      const held = await heldBehindLine(stage);
      process.kill(held.process.pid, 'SIGSEGV');
      await failsAndLeavesNothing(stage, held, 'vmm_failed', /SIGSEGV/);
    },
    delay: async (stage) => {
      const held = await heldBehindLine(stage);
      await held.line.mend();
      await goesOn(stage, held);
    },
  },
};
