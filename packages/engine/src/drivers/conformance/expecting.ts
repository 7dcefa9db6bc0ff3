import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import {
  type ExpectedState,
  inheritedFrom,
  type Machine,
  type MachineSpec,
  type SavedState,
} from '../driver.ts';
import { type Bench, until } from './bench.ts';
import { counting, goesOn, type Kept, refused, saved } from './counting.ts';

/** Machines that are made ready while what they are made from is still being saved. */
export function expectingTests(bench: Bench): void {
  test('a machine is made ready while its state is saved, and goes on from it', async () => {
    const machine = await counting(bench);
    // What is saved next differs little from it.
    await using _ = await saved(machine);
    const guest = await bench.connect(machine);
    await goesOn(guest, 1);
    const { state, restored } = await expecting(bench, machine);
    await using _second = state;
    assert.equal(await restored.status(), 'running');
    await goesOn(await bench.connect(restored), 2);
    await goesOn(guest, 2);
  });

  test('one that is not to run is paused once it has its state', async () => {
    const machine = await counting(bench);
    await using _ = await saved(machine);
    const { state, restored } = await expecting(bench, machine, { run: false });
    await using _second = state;
    assert.equal(await restored.status(), 'paused');
    await restored.resume();
    await until(restored, 'running');
    await goesOn(await bench.connect(restored), 1);
  });

  test('it needs nothing of the directory once it is there, and is saved itself', async () => {
    const machine = await counting(bench);
    await using _ = await saved(machine);
    const { state, restored } = await expecting(bench, machine);
    await state[Symbol.asyncDispose]();
    await goesOn(await bench.connect(restored), 1);
    await using third = await saved(restored);
    await goesOn(await bench.connect(await bench.restore(third)), 2);
  });

  test('a state that stands on other memory than was expected is gone on from all the same', async () => {
    const machine = await counting(bench);
    await using first = await saved(machine);
    const other = await counting(bench);
    await goesOn(await bench.connect(other), 1);
    await using second = await saved(other);
    const differing = await bench.restore(expected(first, soon(second)));
    await goesOn(await bench.connect(differing), 2);
    const whole = await bench.restore(expected(first, soon(first)));
    await goesOn(await bench.connect(whole), 1);
  });

  test('a state that does not come is why there is no machine, and nothing is left of it', async () => {
    await using state = await ofOneThatEnded(bench);
    const coming = Promise.withResolvers<SavedState>();
    const launch = bench.restore(expected(state, coming.promise));
    const gone = refused(bench, () => launch, 'disk_full');
    await begun(bench);
    coming.reject(new VivError('disk_full', 'no room for it'));
    await gone;
  });

  test('a state that comes and does not fit is refused, and nothing is left of it', async () => {
    await using state = await ofOneThatEnded(bench);
    const expecting = expected(state, soon(state));
    await refused(bench, () => bench.restore(expecting, { cpus: 2 }), 'saved_state_mismatch');
  });

  test('one that is cancelled while it waits leaves nothing', async () => {
    await using state = await ofOneThatEnded(bench);
    const cancel = new AbortController();
    const expecting = expected(state, new Promise(() => undefined));
    const gone = refused(bench, () => bench.restore(expecting, {}, cancel.signal), 'cancelled');
    await begun(bench);
    cancel.abort();
    await gone;
  });
}

/** What lies there, before it is known to be whole. */
const expected = (there: SavedState, state: Promise<SavedState>): ExpectedState => ({
  dir: there.dir,
  inherited: inheritedFrom(there),
  state,
});

const soon = (state: SavedState): Promise<SavedState> => turn({ dir: state.dir, manifest: state.manifest });

async function ofOneThatEnded(bench: Bench): Promise<Kept> {
  const machine = await counting(bench);
  const state = await saved(machine, { afterwards: 'stay' });
  await machine.kill();
  return state;
}

/** Resolves once something of a launch is there. */
async function begun(bench: Bench): Promise<void> {
  while ((await bench.context.leftovers()).length === 0) await turn();
}

/** Saves it, and has another one made meanwhile. */
async function expecting(
  bench: Bench,
  machine: Machine,
  overrides: Partial<MachineSpec> = {},
): Promise<{ state: Kept; restored: Machine }> {
  const coming = Promise.withResolvers<SavedState>();
  let launch: Promise<Machine> | undefined;
  const saving = saved(machine, {
    foreseen: (dir, known) => {
      launch = bench.restore({ inherited: known, dir, state: coming.promise }, overrides);
      // Of a save that fails, that is what is told.
      launch.catch(() => undefined);
    },
  });
  coming.resolve(saving);
  const state = await saving;
  assert(launch, 'it was foreseen');
  return { state, restored: await launch };
}
