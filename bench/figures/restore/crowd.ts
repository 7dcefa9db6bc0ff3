import { setTimeout as delay } from 'node:timers/promises';
import { type Measured, ms } from '../../figure.ts';
import type { RawMachine } from '../../floor/raw-machine.ts';
import { cpuSeconds, rollup } from '../../processes.ts';
import { median, timed } from '../../stats.ts';
import { type Ground, image, shimPid, type Vm, vmmPid } from './ground.ts';

const sleeper = ['sh', '-c', 'echo up; exec sleep 1000000'];
const few = 20;
const many = 100;
/** How long they are left alone before they are looked at, and while their processor time is counted. Milliseconds. */
const settleMs = 2000;
const idleMs = 10_000;

const MB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MB`;

/** What clones cost that are only alive. */
export async function crowd(ground: Ground): Promise<Measured[]> {
  const raw = await rawCrowd(ground);
  await using vms = new AsyncDisposableStack();
  const alive: Vm[] = [];
  const add = async () => {
    alive.push(vms.use(await ground.engine.run(image, { cmd: sleeper })));
  };
  while (alive.length < few) await add();
  await delay(settleMs);
  const ours = await pssOf(await Promise.all(alive.map((vm) => vmmPid(ground, vm))));
  const shims = await pssOf(await Promise.all(alive.map((vm) => shimPid(ground, vm))));
  const began = performance.now();
  while (alive.length < many) await Promise.all([add(), add()]);
  const starting = performance.now() - began;
  const answers: number[] = [];
  for (const vm of alive) answers.push(await timed(() => vm.exec(['true']).orThrow()));
  await delay(settleMs);
  const pids = (
    await Promise.all(alive.map((vm) => Promise.all([vmmPid(ground, vm), shimPid(ground, vm)])))
  ).flat();
  const load = await idleLoad(pids);
  return [
    {
      what: `PSS of an idle clone's VMM, mean of ${few} alive`,
      ours: `${MB(ours)} (its shim: ${MB(shims)})`,
      floor: `${MB(raw.pss)} (raw clones with the same devices and command)`,
      promise: 'at most 1.25x the floor',
      kept: ours <= 1.25 * raw.pss,
    },
    {
      what: `Idle processor time of ${many} clones alive, all of which have answered, with their shims`,
      ours: `${(100 * load).toFixed(1)} % of one processor (a further start took ${ms(starting / (many - few))}, an exec ${ms(median(answers))})`,
      floor: `${(100 * raw.load * (many / few)).toFixed(1)} % (${many / few} times that of ${few} raw clones)`,
      promise: 'under 10 %',
      kept: load < 0.1,
    },
  ];
}

async function rawCrowd({ template }: Ground): Promise<{ pss: number; load: number }> {
  await using stack = new AsyncDisposableStack();
  const machines: RawMachine[] = [];
  while (machines.length < few) machines.push(stack.use(await template.alive(sleeper)));
  await delay(settleMs);
  const pids = machines.map(({ pid }) => pid);
  return { pss: await pssOf(pids), load: await idleLoad(pids) };
}

async function pssOf(pids: readonly number[]): Promise<number> {
  const each = await Promise.all(pids.map((pid) => rollup(pid, 'Pss')));
  return each.reduce((sum, bytes) => sum + bytes, 0) / each.length;
}

/** Of one processor. */
async function idleLoad(pids: readonly number[]): Promise<number> {
  const sum = async () => (await Promise.all(pids.map(cpuSeconds))).reduce((a, b) => a + b, 0);
  const [before, began] = [await sum(), performance.now()];
  await delay(idleMs);
  return (1000 * ((await sum()) - before)) / (performance.now() - began);
}
