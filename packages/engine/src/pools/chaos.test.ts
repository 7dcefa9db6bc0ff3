import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError, type Vm } from '@vivarium/model';
import fc from 'fast-check';
import type { Fault, FaultPointName } from '../drivers/simulated/faults.ts';
import type { House } from '../instances/fixtures/house.ts';
import type { HandClock } from './fixtures/hand-clock.ts';
import { members, nothingBut, poolHouse } from './fixtures/pool-house.ts';

/** Several callers, a host that fails, and a daemon that is killed: no VM is handed out twice, and the pool is full again. */
const size = 3;

interface Scene {
  house: House;
  clock: HandClock;
  /** Ids of all that were ever handed out. */
  handed: Set<string>;
}

const pool = ({ house }: Scene) => house.engine.pools.get('p');

function got({ handed }: Scene, vm: Vm): void {
  assert.ok(!handed.has(vm.id), `${vm.name} was handed out twice`);
  handed.add(vm.id);
}

async function some(scene: Scene, acquired: boolean): Promise<Vm | undefined> {
  const all = await members(scene.house);
  const found = all.find(({ acquiredAt }) => (acquiredAt !== undefined) === acquired);
  return found && scene.house.engine.get(found.id);
}

const actions = {
  acquire: async (scene: Scene) =>
    got(scene, await (await pool(scene)).acquire({ signal: AbortSignal.timeout(20) })),
  'acquire, given up': async (scene: Scene) => {
    got(scene, await (await pool(scene)).acquire({ signal: AbortSignal.timeout(1) }));
  },
  'acquire and delete': async (scene: Scene) => {
    await using vm = await (await pool(scene)).acquire({ signal: AbortSignal.timeout(20) });
    got(scene, vm);
  },
  release: async (scene: Scene) => (await pool(scene)).release((await some(scene, true))?.id ?? 'none'),
  'delete a ready one': async (scene: Scene) => (await some(scene, false))?.delete({ force: true }),
  'stop a ready one': async (scene: Scene) => (await some(scene, false))?.stop({ force: true }),
  'crash a ready one': async (scene: Scene) => crash(scene, await some(scene, false)),
  'crash an acquired one': async (scene: Scene) => crash(scene, await some(scene, true)),
} satisfies Record<string, (scene: Scene) => Promise<unknown>>;

function crash({ house }: Scene, vm: Vm | undefined): void {
  if (vm !== undefined) house.host.find(house.dir(vm.id))?.end({ signal: 'SIGSEGV' });
}

const faults: readonly (readonly [FaultPointName, Fault])[] = [
  ['launch.before-spawn', { effect: 'error' }],
  ['launch.after-spawn', { effect: 'crash' }],
  ['launch.before-ready', { effect: 'delay', milliseconds: 3 }],
  ['boot.init', { effect: 'panic' }],
  ['open.control', { effect: 'error' }],
  ['kill', { effect: 'error' }],
];

interface Turn {
  callers: readonly (keyof typeof actions)[];
  fault: (typeof faults)[number] | undefined;
  killAfter: number | undefined;
}

async function take(scene: Scene, { callers, fault, killAfter }: Turn): Promise<void> {
  const { house } = scene;
  if (fault !== undefined) house.host.faults.inject(...fault);
  let killed = false;
  const calls = callers.map(async (name) => {
    try {
      await actions[name](scene);
    } catch (error) {
      // A refusal is an answer; a call of a daemon that was killed meanwhile is answered by nobody.
      if (!killed) assert.ok(isVivError(error) && error.code !== 'internal', `${name}: ${String(error)}`);
    }
  });
  if (killAfter === undefined) await Promise.all(calls);
  else {
    await new Promise((resolve) => setTimeout(resolve, killAfter));
    killed = true;
    await house.reopen();
  }
  house.host.faults.clear();
}

/** What must be true once everything is in its place. */
async function isFull(scene: Scene): Promise<void> {
  const { house, handed } = scene;
  const { info } = await pool(scene);
  assert.equal(info.ready + info.acquired, size, JSON.stringify(info));
  assert.equal(info.creating, 0);
  const all = await members(house);
  const ended = all.filter(({ acquiredAt, exit, state }) => acquiredAt && exit && state === 'Stopped');
  const ready = all.filter(({ acquiredAt }) => acquiredAt === undefined);
  // What its holder could not delete has the evidence, and may be alive.
  const alive = all.filter(({ vmm }) => vmm !== undefined);
  await nothingBut(house, size + ended.length, alive.length);
  for (const { state, acquiredAt } of alive)
    assert.ok(state === 'Running' || (state === 'Error' && acquiredAt), state);
  assert.equal(ready.length, info.ready);
  for (const { id, name } of ready) assert.ok(!handed.has(id), `${name} was handed out and is ready again`);
}

/** Whatever has failed is tried again as time passes. */
async function comesToBeFull(scene: Scene): Promise<void> {
  const deadline = performance.now() + 3000;
  for (;;) {
    try {
      return await isFull(scene);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      scene.clock.advance(60_000);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

const aTurn: fc.Arbitrary<Turn> = fc.record({
  callers: fc.array(fc.constantFrom(...(Object.keys(actions) as (keyof typeof actions)[])), {
    minLength: 1,
    maxLength: 6,
  }),
  fault: fc.option(fc.constantFrom(...faults), { nil: undefined, freq: 2 }),
  killAfter: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 3 }),
});

/** More of them: `VIV_CHAOS_RUNS=2000`. */
const numRuns = Number(process.env.VIV_CHAOS_RUNS ?? 25);

for (const stage of ['running', 'stopped'] as const) {
  test(`whatever callers, faults and killed daemons do, a pool of ${stage} VMs hands none out twice and is full again`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(aTurn, { minLength: 1, maxLength: 6 }), async (turns) => {
        const { house, clock } = await poolHouse();
        await using _house = house;
        const scene: Scene = { house, clock, handed: new Set() };
        await house.engine.pools.create('p', {
          image: 'busybox',
          size,
          stage,
          creationTimeoutMs: 2 ** 31 - 1,
        });
        for (const turn of turns) {
          await take(scene, turn);
          await comesToBeFull(scene);
        }
      }),
      {
        numRuns,
        endOnFailure: true,
        includeErrorInReport: true,
        interruptAfterTimeLimit: Number(process.env.VIV_CHAOS_MS ?? 4000),
      },
    );
  });
}
