import assert from 'node:assert/strict';
import { chmod, open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { VivError } from '@vivarium/model';
import type { Guest } from '../../guest/guest.ts';
import { readSavedState, stateFiles } from '../../saved-states/manifest.ts';
import type { Machine, MachineSpec, MachineStatus } from '../driver.ts';
import { type Bench, until, withCode } from './bench.ts';
import { counting, goesOn, refused, saved } from './counting.ts';

/** Saved machines, and what is made of them. */
export function savingTests(bench: Bench): void {
  test('a saved machine goes on in the restored one, and the process in it does not notice', async () => {
    await using state = await saved(await counting(bench), { afterwards: 'stay' });
    const restored = await bench.restore(state);
    assert.equal(await restored.status(), 'running');
    const guest = await bench.connect(restored);
    await goesOn(guest, 1);
    await goesOn(guest, 2);
  });

  test('two machines restored from one state know nothing of each other', async () => {
    await using state = await saved(await counting(bench));
    const guests = [];
    for (const _ of [1, 2]) guests.push(await bench.connect(await bench.restore(state)));
    const [first, second] = guests as [Guest, Guest];
    await goesOn(first, 1);
    await goesOn(first, 2);
    await goesOn(second, 1);
  });

  test('a machine that goes on after its save runs, and tells of no pause', async () => {
    const machine = await counting(bench);
    const told: MachineStatus[] = [];
    machine.onStatus((status) => told.push(status));
    await using _ = await saved(machine, { afterwards: 'continue' });
    assert.equal(await machine.status(), 'running');
    await goesOn(await bench.connect(machine), 1);
    assert.deepEqual(told, []);
  });

  test('a machine runs until who saves it is ready, and where that is never goes on', async () => {
    const machine = await counting(bench);
    const ready = Promise.withResolvers<void>();
    const saving = saved(machine, { ready: ready.promise });
    const guest = await bench.connect(machine);
    await goesOn(guest, 1);
    ready.resolve();
    await using state = await saving;
    await goesOn(await bench.connect(await bench.restore(state)), 2);
    const never = Promise.reject(new VivError('agent_unreachable', 'nobody is there'));
    never.catch(() => undefined);
    await assert.rejects(saved(machine, { ready: never }), withCode('agent_unreachable'));
    assert.equal(await machine.status(), 'running');
    await goesOn(guest, 2);
  });

  test('a machine that stays after its save is paused, and may run again', async () => {
    const machine = await counting(bench);
    await using _ = await saved(machine, { afterwards: 'stay' });
    assert.equal(await machine.status(), 'paused');
    await machine.resume();
    await goesOn(await bench.connect(machine), 1);
  });

  test('a paused machine stays paused when it is saved, and is restored paused where it is not to run', async () => {
    const machine = await counting(bench);
    await machine.pause();
    await using state = await saved(machine, { afterwards: 'continue' });
    assert.equal(state.manifest.guest.was, 'paused');
    assert.equal(await machine.status(), 'paused');
    const restored = await bench.restore(state, { run: false });
    assert.equal(await restored.status(), 'paused');
    await restored.resume();
    await until(restored, 'running');
    await goesOn(await bench.connect(restored), 1);
  });

  test('what is of the same instant is done while the vCPUs stand still, once', async () => {
    const machine = await counting(bench);
    const seen: MachineStatus[] = [];
    const atPause = async () => void seen.push(await machine.status());
    await using _ = await saved(machine, { atPause });
    assert.deepEqual(seen, ['paused']);
  });

  test('a save that fails leaves a running machine running and a paused one paused', async () => {
    const machine = await counting(bench);
    const atPause = () => Promise.reject(new Error('no room'));
    await assert.rejects(saved(machine, { atPause, afterwards: 'stay' }), /no room/);
    assert.equal(await machine.status(), 'running');
    await goesOn(await bench.connect(machine), 1);
    await machine.pause();
    await assert.rejects(saved(machine, { atPause }), /no room/);
    assert.equal(await machine.status(), 'paused');
  });

  test('a state saved right after another one is restored as what it is, and so is the one before', async () => {
    const machine = await counting(bench);
    await using first = await saved(machine);
    const guest = await bench.connect(machine);
    await goesOn(guest, 1);
    await using second = await saved(machine);
    await goesOn(guest, 2);
    await goesOn(await bench.connect(await bench.restore(second)), 2);
    await goesOn(await bench.connect(await bench.restore(first)), 1);
  });

  test('a machine is saved and restored three times over, without its first directory', async () => {
    let machine: Machine = await counting(bench);
    for (const counted of [1, 2, 3]) {
      const state = await saved(machine, { afterwards: 'stay' });
      await machine.kill();
      machine = await bench.restore(state);
      // It is mapped, or read: nobody needs its name any more.
      await state[Symbol.asyncDispose]();
      await goesOn(await bench.connect(machine), counted);
    }
  });

  test('a restored machine is found again with its pids', async () => {
    await using state = await saved(await counting(bench));
    const restored = await bench.restore(state);
    await bench.abandon(restored);
    const found = await bench.adopt(restored.record.dir);
    assert.deepEqual(found.record, restored.record);
    await goesOn(await bench.connect(found), 1);
  });

  test('a machine that has not begun to run is not saved', async () => {
    const machine = await bench.launch({ run: false });
    await assert.rejects(saved(machine), withCode('invalid_state'));
    assert.equal(await machine.status(), 'created');
  });

  refusalTests(bench);
}

function refusalTests(bench: Bench): void {
  const damages: Record<string, (dir: string) => Promise<unknown>> = {
    'without its memory': (dir) => rm(path.join(dir, stateFiles.memory)),
    'without its devices': (dir) => rm(path.join(dir, stateFiles.devices)),
    'whose memory is shorter': (dir) => shorten(path.join(dir, stateFiles.memory)),
    'whose memory was changed': (dir) => flip(path.join(dir, stateFiles.memory)),
    'whose memory is another file': (dir) => swap(path.join(dir, stateFiles.memory)),
    'whose devices are shorter': (dir) => shorten(path.join(dir, stateFiles.devices)),
    'whose devices were changed': (dir) => flip(path.join(dir, stateFiles.devices)),
  };
  for (const [what, damage] of Object.entries(damages)) {
    test(`a state ${what} is refused, and nothing is left of the launch`, async () => {
      const machine = await counting(bench);
      await using state = await saved(machine, { afterwards: 'stay' });
      await machine.kill();
      await damage(state.dir);
      await refused(bench, () => bench.restore(state), 'saved_state_damaged');
    });
  }

  test('a manifest that is cut off is damaged, and one of another format does not fit', async () => {
    const machine = await counting(bench);
    await using state = await saved(machine);
    const file = path.join(state.dir, stateFiles.manifest);
    await writeFile(file, JSON.stringify({ ...state.manifest, format: 2 }));
    await assert.rejects(readSavedState(state.dir), withCode('saved_state_mismatch'));
    await writeFile(file, JSON.stringify({ format: 1 }));
    await assert.rejects(readSavedState(state.dir), withCode('saved_state_damaged'));
    await shorten(file);
    await assert.rejects(readSavedState(state.dir), withCode('saved_state_damaged'));
  });

  const others: Record<string, Partial<MachineSpec>> = {
    'more vCPUs': { cpus: 2 },
    'more memory': { memoryBytes: 320 * 2 ** 20 },
  };
  for (const [what, other] of Object.entries(others)) {
    test(`a machine with ${what} is not made from a state, and nothing is left of the launch`, async () => {
      const machine = await counting(bench);
      await using state = await saved(machine, { afterwards: 'stay' });
      await machine.kill();
      await refused(bench, () => bench.restore(state, other), 'saved_state_mismatch');
    });
  }

  test('a restore whose signal has fired before is cancelled and leaves nothing', async () => {
    const machine = await counting(bench);
    await using state = await saved(machine, { afterwards: 'stay' });
    await machine.kill();
    await refused(bench, () => bench.restore(state, {}, AbortSignal.abort()), 'cancelled');
  });
}

async function shorten(file: string): Promise<void> {
  await chmod(file, 0o600);
  await truncate(file, (await stat(file)).size - 1);
}

/** A byte in the middle becomes another one; the length stays. */
async function flip(file: string): Promise<void> {
  await chmod(file, 0o600);
  await using handle = await open(file, 'r+');
  const at = Math.floor((await handle.stat()).size / 2);
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 0xff]), 0, 1, at);
}

/** Another file of the same length takes the name. */
async function swap(file: string): Promise<void> {
  const { size } = await stat(file);
  await rm(file);
  await writeFile(file, 'x');
  await truncate(file, size);
}
