import assert from 'node:assert/strict';
import { access, constants, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from '../../host/identity.ts';
import { isMachine, withCode, within } from '../conformance/bench.ts';
import { files } from '../qemu/record.ts';
import { Freezer } from './hardships.ts';
import type { Provocation, Provocations } from './provocation.ts';
import type { Stage } from './stage.ts';

/** A restarted daemon cannot read what the one before wrote down. */
async function adoptFails(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  const file = path.join(machine.record.dir, files.machine);
  await rename(file, `${file}.away`);
  await writeFile(file, '{');
  await assert.rejects(stage.adoptAnew(machine), withCode('internal'));
  assert(await isAlive(machine.record.vmm));
  await rename(`${file}.away`, file);
  const found = await stage.adoptAnew(machine);
  assert(found !== undefined && isMachine(found));
  assert.deepEqual([found.record, await found.status()], [machine.record, 'running']);
}

async function adoptHangs(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  stage.freeze(machine.record.shim);
  await assert.rejects(within(stage.adoptAnew(machine), 'the failure', 5_000), withCode('vmm_failed'));
  stage.thaw(machine.record.shim);
  const found = await stage.adoptAnew(machine);
  assert(found !== undefined && isMachine(found));
  assert.equal(await found.status(), 'running');
}

async function adoptFindsACrash(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  stage.freeze(machine.record.vmm);
  const adopted = stage.adoptAnew(machine);
  process.kill(machine.record.vmm.pid, 'SIGSEGV');
  stage.thaw(machine.record.vmm);
  const found = await adopted;
  assert(found !== undefined && !isMachine(found));
  assert.equal(found.signal, 'SIGSEGV');
  assert.deepEqual(await stage.real.restarted().adopt(machine.record.dir), found);
}

async function adoptIsLate(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  stage.freeze(machine.record.shim);
  const adopted = stage.adoptAnew(machine);
  await sleep(100);
  stage.thaw(machine.record.shim);
  const found = await adopted;
  assert(found !== undefined && isMachine(found));
  assert.equal(await found.status(), 'running');
}

/** In a frozen cgroup SIGKILL waits, as in a process that waits for a disk. */
async function cannotBeKilled(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  const freezer = await Freezer.hold(stage, machine.record.vmm);
  await assert.rejects(machine.kill(), withCode('vmm_failed'));
  assert(await isAlive(machine.record.vmm));
  await freezer.release();
  assert.equal((await machine.kill()).signal, 'SIGKILL');
}

const hasFreezer = await access(Freezer.root, constants.W_OK).then(
  () => process.getuid?.() === 0,
  () => false, // this host has none
);

async function killIsLate(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  stage.freeze(machine.record.shim);
  const killed = machine.kill();
  await sleep(100);
  stage.thaw(machine.record.shim);
  assert.equal((await killed).signal, 'SIGKILL');
}

async function endsUnseen(stage: Stage): Promise<void> {
  const machine = await stage.launch();
  process.kill(machine.record.shim.pid, 'SIGKILL');
  const { at, ...exit } = await within(machine.exited, 'the end');
  assert.deepEqual(exit, { unobserved: true, stderr: '' });
  assert.deepEqual(await machine.kill(), { at, ...exit });
  assert.deepEqual(await stage.real.restarted().adopt(machine.record.dir), { at, ...exit });
}

const unkillable: Provocation = hasFreezer
  ? cannotBeKilled
  : 'only root, with cgroups of the first version, can make a process that SIGKILL does not end';

export const ending: Provocations<'kill' | 'adopt' | 'exit.unobserved'> = {
  kill: {
    error: 'this driver fails a kill in one way only, which is tested as its hang: the VMM does not end',
    hang: unkillable,
    delay: killIsLate,
  },
  adopt: { error: adoptFails, hang: adoptHangs, crash: adoptFindsACrash, delay: adoptIsLate },
  'exit.unobserved': { error: endsUnseen },
};
