import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isVivError, type Vm } from '@vivarium/model';
import fc from 'fast-check';
import type { MachineStatus } from '../drivers/driver.ts';
import type { Fault, FaultPointName } from '../drivers/simulated/faults.ts';
import { type InstanceRecord, readRecord } from '../store/record.ts';
import { House } from './fixtures/house.ts';

/** Several callers, a host that fails, and a daemon that is killed: whatever they do, what is told agrees with what is. */
const names = ['one', 'two'] as const;

const actions = {
  create: (house: House, name: string) => house.engine.create({ image: 'busybox', name }),
  run: (house: House, name: string) => house.engine.run('busybox', { name }),
  'run --rm': (house: House, name: string) => house.engine.run('busybox', { name, autoRemove: true }),
  'run --rm true': (house: House, name: string) =>
    house.engine.run('busybox', { name, autoRemove: true, cmd: ['true'] }),
  prepare: on((vm) => vm.prepare()),
  start: on((vm) => vm.start()),
  'start, given up': on((vm) => vm.start({ signal: AbortSignal.timeout(1) })),
  stop: on((vm) => vm.stop({ timeoutMs: 20 })),
  'stop --force': on((vm) => vm.stop({ force: true })),
  restart: on((vm) => vm.restart({ timeoutMs: 20 })),
  shutdown: on((vm) => vm.shutdown()),
  pause: on((vm) => vm.pause()),
  resume: on((vm) => vm.resume()),
  delete: on((vm) => vm.delete()),
  'delete --force': on((vm) => vm.delete({ force: true })),
  rename: on((vm) => vm.rename('three')),
  'rename back': async (house: House, name: string) => (await house.engine.get('three')).rename(name),
  resize: on((vm) => vm.resizeDisk('20GB')),
  fork: on((vm) => vm.fork({ name: 'three' })),
  'fork to two, paused': on((vm) => vm.fork({ name: 'copy-%d', count: 2, state: 'paused' })),
  crash: on(async (vm, house) => house.host.find(house.dir(vm.id))?.end({ signal: 'SIGSEGV' })),
} satisfies Record<string, (house: House, name: string) => PromiseLike<unknown>>;

type ActionName = keyof typeof actions;

function on(act: (vm: Vm, house: House) => PromiseLike<unknown>) {
  return async (house: House, name: string) => act(await house.engine.get(name), house);
}

const faults: readonly (readonly [FaultPointName, Fault])[] = [
  ['launch.before-spawn', { effect: 'error' }],
  ['launch.after-spawn', { effect: 'crash' }],
  ['launch.before-ready', { effect: 'delay', milliseconds: 3 }],
  ['boot.kernel', { effect: 'delay', milliseconds: 3 }],
  ['boot.init', { effect: 'panic' }],
  ['status', { effect: 'error' }],
  ['resume', { effect: 'error' }],
  ['kill', { effect: 'error' }],
  ['kill', { effect: 'delay', milliseconds: 3 }],
  ['open.control', { effect: 'error' }],
  ['guest-off', { effect: 'error' }],
  ['save.devices', { effect: 'delay', milliseconds: 3 }],
  ['save.update', { effect: 'error' }],
  ['restore.load', { effect: 'crash' }],
  ['exit.unobserved', { effect: 'error' }],
];

interface Turn {
  callers: readonly { action: ActionName; name: string }[];
  fault: (typeof faults)[number] | undefined;
  /** Milliseconds after which the daemon is killed, and another one comes. */
  killAfter: number | undefined;
}

async function take(house: House, { callers, fault, killAfter }: Turn): Promise<void> {
  if (fault !== undefined) house.host.faults.inject(...fault);
  let killed = false;
  const calls = callers.map(async ({ action, name }) => {
    try {
      await actions[action](house, name);
    } catch (error) {
      // A refusal is an answer; a call of a daemon that was killed meanwhile is answered by nobody.
      if (killed) return;
      assert.ok(isVivError(error), `${action}: ${String(error)}`);
      const evident = error.code !== 'internal' || /could not be undone/.test(error.message);
      assert.ok(evident, `${action}: ${error.message}`);
    }
  });
  if (killAfter === undefined) await answered(house, calls);
  else {
    await new Promise((resolve) => setTimeout(resolve, killAfter));
    killed = true;
    await house.reopen();
  }
  house.host.faults.clear();
}

async function answered(house: House, calls: Promise<void>[]): Promise<void> {
  const late = Promise.withResolvers<'late'>();
  const timer = setTimeout(late.resolve, 3000, 'late');
  const first = await Promise.race([Promise.all(calls), late.promise]);
  clearTimeout(timer);
  if (first !== 'late') return;
  const { items } = await house.engine.list();
  assert.fail(
    `a call is not answered: ${JSON.stringify(items.map(({ name, state, operation }) => ({ name, state, operation })))}`,
  );
}

const told: Partial<Record<MachineStatus, string>> = {
  created: 'Created',
  running: 'Running',
  paused: 'Paused',
  shutdown: 'Shutdown',
};

/** What must be true whenever nobody does anything. */
async function agrees(house: House): Promise<void> {
  const { items } = await house.engine.list();
  const ids = items.map(({ id }) => id).sort();
  assert.deepEqual(readdirSync(path.join(house.home, 'instances')).sort(), ids, 'a directory a record');
  const vmms = new Map(house.host.alive().map((vmm) => [vmm.spec.instanceId, vmm]));
  const { records, unfinished } = stored(house);
  assert.equal(unfinished, 0, 'every operation has ended');
  assert.deepEqual(records.map(({ id }) => id).sort(), ids, 'the database has what is listed');
  for (const info of items) {
    const vmm = vmms.get(info.id);
    vmms.delete(info.id);
    assert.equal(info.operation, undefined, `${info.name} is held`);
    assert.equal(info.vmm?.pid, vmm?.record.vmm.pid, `the VMM of ${info.name}`);
    if (info.state !== 'Error') {
      assert.equal(info.state, vmm === undefined ? 'Stopped' : told[vmm.status], info.name);
      const phase = records.find(({ id }) => id === info.id)?.phase;
      assert.equal(phase, vmm === undefined ? 'made' : 'live', `the phase of ${info.name}`);
    }
    assert.equal((await readRecord(house.dir(info.id)))?.name, info.name, 'record.json has the name');
  }
  assert.deepEqual([...vmms.keys()], [], 'no VMM without a record');
}

function stored(house: House): { records: InstanceRecord[]; unfinished: number } {
  const database = new DatabaseSync(path.join(house.home, 'vivarium.db'), { readOnly: true });
  try {
    const records = database.prepare('SELECT record FROM instances').all();
    const open = database.prepare('SELECT count(*) AS n FROM operations WHERE ended_at IS NULL').get();
    return { records: records.map((row) => JSON.parse(String(row.record))), unfinished: Number(open?.n) };
  } finally {
    database.close();
  }
}

/** Ends of VMMs and removals after them are still on their way when the callers have their answers. */
async function comesToAgree(house: House): Promise<void> {
  const deadline = performance.now() + 2000;
  for (;;) {
    try {
      return await agrees(house);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
}

const aTurn: fc.Arbitrary<Turn> = fc.record({
  callers: fc.array(
    fc.record({
      action: fc.constantFrom(...(Object.keys(actions) as ActionName[])),
      name: fc.constantFrom(...names),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  fault: fc.option(fc.constantFrom(...faults), { nil: undefined, freq: 2 }),
  killAfter: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 2 }),
});

/** More of them: `VIV_CHAOS_RUNS=2000`. */
const numRuns = Number(process.env.VIV_CHAOS_RUNS ?? 25);

test('whatever callers, faults and killed daemons do, nothing is held, lost or left', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(aTurn, { minLength: 1, maxLength: 6 }), async (turns) => {
      await using house = await House.open();
      // Something to work on from the first turn.
      await house.engine.run('busybox', { name: names[0] });
      for (const turn of turns) {
        await take(house, turn);
        await comesToAgree(house);
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
