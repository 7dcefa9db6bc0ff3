import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isVivError } from '@vivarium/model';
import { createRootDisk, minimumRootBytes, newLayerFor } from '../../disks/index.ts';
import { stateFiles } from '../../saved-states/manifest.ts';
import { withCode, within } from '../conformance/bench.ts';
import {
  isDiskLayerer,
  isMachineSaver,
  type Machine,
  type MachineSaver,
  type MachineSpec,
  type SavedState,
} from '../driver.ts';
import { shimDigests } from '../qemu/digests.ts';
import { type Call, order } from './ordering.ts';
import type { Provocations } from './provocation.ts';
import { removeAtEnd, type Stage, vmmIn } from './stage.ts';

/** A running machine whose agent has answered, and where to save it. */
interface Saving {
  machine: Machine & MachineSaver;
  dir: string;
  save(atPause?: () => Promise<void>): ReturnType<MachineSaver['save']>;
}

async function begin(stage: Stage): Promise<Saving> {
  const machine = await stage.launch();
  await stage.guestAnswers(machine);
  assert(isMachineSaver(machine));
  const dir = await mkdtemp(path.join(stage.real.home, 'saved-'));
  removeAtEnd(stage, dir);
  const guest = { hostname: 'saved', machineId: '0'.repeat(32), generation: 1 };
  return { machine, dir, save: (atPause) => machine.save({ dir, guest, afterwards: 'continue', atPause }) };
}

async function failsAndRuns(
  stage: Stage,
  { machine, save }: Saving,
  atPause?: () => Promise<void>,
): Promise<void> {
  await assert.rejects(save(atPause), (error) => isVivError(error));
  assert.equal(await machine.status(), 'running');
  await stage.guestAnswers(machine);
}

async function diesOf(saving: Promise<unknown>, { machine }: Saving): Promise<void> {
  await assert.rejects(saving, withCode('vmm_failed'));
  assert.equal((await within(machine.exited, 'the end', 1_000)).signal, 'SIGSEGV');
}

const crash = ({ machine }: Saving) => process.kill(machine.record.vmm.pid, 'SIGSEGV');

/** The shim has been asked for the memory, and does not answer before it is thawed. */
async function heldAtMemory(stage: Stage, saving: Saving): Promise<{ save: Promise<unknown> }> {
  stage.freeze(saving.machine.record.shim);
  const save = saving.save();
  save.catch(() => {}); // looked at by the test
  await sleep(100);
  return { save };
}

/** QEMU is frozen when it is told to stop its vCPUs: its memory can be read all the same. */
async function heldAtStop(stage: Stage, saving: Saving): Promise<{ save: Promise<unknown> }> {
  const { shim, vmm } = saving.machine.record;
  const held = await heldAtMemory(stage, saving);
  stage.freeze(vmm);
  stage.thaw(shim);
  return held;
}

const patient = 'a copy of gigabytes is waited for, longer than a test can';

/** A machine that was saved and ended, and a launch from that whose QEMU is frozen. */
async function restoring(stage: Stage, { hold = true } = {}) {
  const saving = await begin(stage);
  const { manifest } = await saving.save();
  await saving.machine.kill();
  const spec = await stage.real.spec();
  const state: SavedState = { dir: saving.dir, manifest };
  const cancel = new AbortController();
  const launch = (from = state) => stage.real.driver.launch(spec, cancel.signal, from);
  if (!hold) return { spec, state, cancel, launch };
  const launched = launch();
  launched.catch(() => {}); // looked at by the test
  const vmm = await vmmIn(spec.dir);
  stage.freeze(vmm);
  return { spec, state, cancel, launch: () => launched, vmm };
}

/** What QEMU can't load, and what the manifest says it should be. */
async function spoil(stage: Stage, { dir, manifest }: SavedState): Promise<SavedState> {
  const file = path.join(dir, stateFiles.devices);
  await rm(file);
  await writeFile(file, 'no devices of any machine');
  const [devices] = await shimDigests(stage.real.assets.shim.path)([file]);
  assert(devices);
  return { dir, manifest: { ...manifest, devices: { bytes: devices.bytes, digest: devices.digest } } };
}

const layersDir = (stage: Stage) => path.join(stage.real.home, 'layered');

async function withRoot(stage: Stage): Promise<Partial<MachineSpec>> {
  const dir = layersDir(stage);
  await mkdir(dir);
  removeAtEnd(stage, dir);
  const file = path.join(dir, 'root.qcow2');
  await createRootDisk({ path: file, bases: path.join(stage.real.home, 'disks'), bytes: minimumRootBytes });
  await newLayerFor(dir);
  return { disks: [{ serial: 'root', path: file, format: 'qcow2', readOnly: false }] };
}

const addLayer =
  (stage: Stage, serial = 'root'): Call =>
  (machine) => {
    assert(isDiskLayerer(machine));
    return machine.addLayer(serial, path.join(layersDir(stage), 'root.next.qcow2'));
  };

const topLayer =
  (serial: string): Call =>
  (machine) => {
    assert(isDiskLayerer(machine));
    return machine.topLayer(serial);
  };

async function refuses(stage: Stage, call: Call, wanted: Call): Promise<void> {
  const machine = await stage.launch(await withRoot(stage));
  await assert.rejects(call(machine), withCode('vmm_failed'));
  assert.equal(await machine.status(), 'running');
  await wanted(machine);
}

/** As {@link order}, with a call that is made for its stage. */
const layering = (effect: 'hang' | 'crash' | 'delay') => (stage: Stage) => {
  const provocation = order({ call: addLayer(stage), needs: withRoot }, '')[effect];
  assert(typeof provocation !== 'string');
  return provocation(stage);
};

type Point = 'save.memory' | 'save.devices' | 'save.update' | 'restore.load' | 'add-layer' | 'top-layer';

export const saving: Provocations<Point> = {
  'save.memory': {
    error: async (stage) => {
      const saving = await begin(stage);
      await rm(saving.dir, { recursive: true });
      await failsAndRuns(stage, saving);
    },
    hang: patient,
    crash: async (stage) => {
      const saving = await begin(stage);
      const { save } = await heldAtMemory(stage, saving);
      crash(saving);
      stage.thaw(saving.machine.record.shim);
      await diesOf(save, saving);
    },
    delay: async (stage) => {
      const saving = await begin(stage);
      const { save } = await heldAtMemory(stage, saving);
      stage.thaw(saving.machine.record.shim);
      await save;
      await stage.guestAnswers(saving.machine);
    },
  },
  'save.devices': {
    error: async (stage) => {
      const saving = await begin(stage);
      await mkdir(path.join(saving.dir, stateFiles.devices));
      await failsAndRuns(stage, saving);
    },
    hang: 'QEMU has a minute to stop its vCPUs, and another one to let them run',
    crash: async (stage) => {
      const saving = await begin(stage);
      const { save } = await heldAtStop(stage, saving);
      crash(saving);
      stage.thaw(saving.machine.record.vmm);
      await diesOf(save, saving);
    },
    delay: async (stage) => {
      const saving = await begin(stage);
      const { save } = await heldAtStop(stage, saving);
      await sleep(100);
      stage.thaw(saving.machine.record.vmm);
      await save;
      await stage.guestAnswers(saving.machine);
    },
  },
  'save.update': {
    error:
      'nothing from outside comes between the copy and the comparison, which are milliseconds apart in one shim; its own tests take the file away there',
    hang: patient,
    crash: async (stage) => {
      const saving = await begin(stage);
      const die = async () => {
        crash(saving);
        await saving.machine.exited;
      };
      await diesOf(saving.save(die), saving);
    },
    delay: async (stage) => {
      const saving = await begin(stage);
      const { shim } = saving.machine.record;
      await saving.save(async () => {
        stage.freeze(shim);
        setTimeout(() => stage.thaw(shim), 100);
      });
      await stage.guestAnswers(saving.machine);
    },
  },
  'restore.load': {
    error: async (stage) => {
      const { spec, state, launch } = await restoring(stage, { hold: false });
      await assert.rejects(launch(await spoil(stage, state)), withCode('saved_state_mismatch'));
      await stage.nothingIsLeftIn(spec.dir);
    },
    hang: async (stage) => {
      const { spec, cancel, launch } = await restoring(stage);
      cancel.abort();
      await assert.rejects(launch(), withCode('cancelled'));
      await stage.nothingIsLeftIn(spec.dir);
    },
    crash: async (stage) => {
      const { spec, launch, vmm } = await restoring(stage);
      assert(vmm);
      process.kill(vmm.pid, 'SIGSEGV');
      stage.thaw(vmm);
      await assert.rejects(launch(), withCode('vmm_failed'));
      await stage.nothingIsLeftIn(spec.dir);
    },
    delay: async (stage) => {
      const { launch, vmm } = await restoring(stage);
      assert(vmm);
      await sleep(100);
      stage.thaw(vmm);
      const machine = stage.keep(await launch());
      await stage.guestAnswers(machine);
    },
  },
  'add-layer': {
    error: (stage) => refuses(stage, addLayer(stage, 'nowhere'), addLayer(stage)),
    hang: layering('hang'),
    crash: layering('crash'),
    delay: layering('delay'),
  },
  'top-layer': order({ call: topLayer('root'), needs: withRoot }, (stage) =>
    refuses(stage, topLayer('nowhere'), topLayer('root')),
  ),
};
