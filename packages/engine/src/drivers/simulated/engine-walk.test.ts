import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { isStep, type State } from '@vivarium/lifecycle';
import { isVivError, type Vm } from '@vivarium/model';
import fc from 'fast-check';
import { type Engine, openEngine, simulatedParts } from '../../index.ts';
import { SimulatedDriver, SimulatedHost } from './index.ts';

/** The engine's instances, walked over at random: every step they tell of is one that the table has. */
let home: string;
let host: SimulatedHost;
let engine: Engine;

before(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'viv-walk-'));
  host = new SimulatedHost({ logs: 'none', answerMs: 20 });
  const parts = await simulatedParts(new SimulatedDriver(host));
  engine = await openEngine({ home, mode: 'daemon', driver: parts, templates: false });
});
after(async () => {
  await engine.close();
  await rm(home, { recursive: true, force: true });
});

const moves = {
  prepare: (vm: Vm) => vm.prepare(),
  start: (vm: Vm) => vm.start(),
  stop: (vm: Vm) => vm.stop({ timeoutMs: 100 }),
  'stop --force': (vm: Vm) => vm.stop({ force: true }),
  shutdown: (vm: Vm) => vm.shutdown(),
  pause: (vm: Vm) => vm.pause(),
  resume: (vm: Vm) => vm.resume(),
  suspend: (vm: Vm) => vm.suspend(),
  discard: (vm: Vm) => vm.discard(),
  'start --cold': (vm: Vm) => vm.start({ cold: true }),
  snapshot: async (vm: Vm) => void (await vm.snapshots.create()),
  fork: async (vm: Vm) => {
    for (const copy of await vm.fork()) await copy.delete({ force: true });
  },
  crash: async (vm: Vm) => {
    host.crash(path.join(home, 'instances', vm.id));
    await vm.waitFor(['Stopped', 'Error'], { timeoutMs: 200 });
  },
  'lost agent': async (vm: Vm) => {
    host.guest(path.join(home, 'instances', vm.id)).drop('control');
    // The agent is still there, so it is found again; a guest that is paused or off meanwhile is not asked.
    await vm.waitFor(['Running', 'Paused', 'Shutdown', 'Stopped', 'Error'], { timeoutMs: 200 });
  },
  'failing launch': (vm: Vm) =>
    failing(() => host.faults.inject('launch.after-spawn', { effect: 'crash' }), vm),
  'failing save': (vm: Vm) =>
    failing(() => host.faults.inject('save.update', { effect: 'error' }), vm, 'suspend'),
  'crash in a save': (vm: Vm) =>
    failing(() => host.faults.inject('save.devices', { effect: 'crash' }), vm, 'suspend'),
  'failing load': (vm: Vm) => failing(() => host.faults.inject('restore.load', { effect: 'error' }), vm),
  'failing boot': (vm: Vm) => failing(() => host.faults.inject('boot.init', { effect: 'panic' }), vm),
  'failing kill': (vm: Vm) => failing(() => host.faults.inject('kill', { effect: 'error' }), vm, 'stop'),
} satisfies Record<string, (vm: Vm) => PromiseLike<unknown>>;

type Move = keyof typeof moves;

async function failing(
  plan: () => void,
  vm: Vm,
  then: 'start' | 'stop' | 'suspend' = 'start',
): Promise<void> {
  plan();
  try {
    await (then === 'stop' ? vm.stop({ force: true }) : vm[then]());
  } finally {
    host.faults.clear();
  }
}

/** One move; a refusal is an answer, anything else that isn't ours is a defect. */
async function make(move: Move, vm: Vm): Promise<void> {
  try {
    await moves[move](vm);
  } catch (error) {
    assert(isVivError(error) && error.code !== 'internal', `${move}: ${String(error)}`);
  }
}

let told = 0;

/** Every change of state of an instance that is gone, in order, as it was stored. */
async function walked(id: string): Promise<{ from: State; to: State }[]> {
  const steps: { from: State; to: State }[] = [];
  for await (const { seq, type, instanceId, data } of engine.events({ since: told })) {
    told = seq;
    if (type !== 'state' || instanceId !== id) continue;
    steps.push({ from: data.from as State, to: data.to as State });
    if (data.to === 'Deleted') break;
  }
  return steps;
}

async function walk(sequence: readonly (Move | readonly Move[])[]): Promise<void> {
  const vm = await engine.create({ image: 'busybox' });
  for (const turn of sequence) {
    // Several at once: they join, interrupt, or get busy.
    await Promise.all([turn].flat().map((move) => make(move as Move, vm)));
  }
  await vm.delete({ force: true });
  const steps = await walked(vm.id);
  for (const [index, { from, to }] of steps.entries()) {
    assert(isStep(from, to), `${from} -> ${to} is no step of the table`);
    if (index > 0) assert.equal(from, steps[index - 1]?.to, 'steps follow each other');
  }
  assert.equal(steps.at(-1)?.to, 'Deleted');
}

const anyMove = fc.constantFrom(...(Object.keys(moves) as Move[]));

test('whatever is done to an instance, one thing after the other, its states follow the table', async () => {
  await fc.assert(fc.asyncProperty(fc.array(anyMove, { maxLength: 8 }), walk), {
    numRuns: Number(process.env.VIV_WALK_RUNS ?? 60),
    endOnFailure: true,
    includeErrorInReport: true,
  });
});

test('whatever is done to an instance, two things at a time, its states follow the table', async () => {
  const pair = fc.tuple(anyMove, anyMove);
  await fc.assert(fc.asyncProperty(fc.array(pair, { maxLength: 5 }), walk), {
    numRuns: Number(process.env.VIV_WALK_RUNS ?? 60),
    endOnFailure: true,
    includeErrorInReport: true,
  });
});

test('nothing is left on the host', () => {
  assert.deepEqual(host.alive(), []);
});
