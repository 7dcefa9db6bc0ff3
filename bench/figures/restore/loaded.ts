import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Vm } from '@vivarium/model';
import { type Measured, ms } from '../../figure.ts';
import { writtenOver } from '../../processes.ts';
import { median, timed } from '../../stats.ts';
import { discard, pauseInto } from './copies.ts';
import { type Vm as EngineVm, type Ground, image, vmmPid } from './ground.ts';

const MiB = 2 ** 20;
const memoryMiB = 500;
const diskMiB = 2048;

/** A guest that has written much: what it stands still for a fork, beside writing as much to the same disk. */
export async function loaded(ground: Ground): Promise<Measured[]> {
  await using vm = await ground.engine.run(image, { memory: '1GB', cpus: 2, cmd: ['sleep', '1000000'] });
  await fill(vm, diskMiB, '/fill');
  await fill(vm, memoryMiB, '/dev/shm/fill');
  await vm.exec(['sync']).orThrow();
  const pauses: number[] = [];
  const writes: number[] = [];
  const calls: number[] = [];
  const more = { forks: [] as number[], snapshots: [] as number[], resumes: [] as number[] };
  let bytes = 0;
  for (let round = 0; round < Math.max(3, Math.floor(ground.rounds / 4)); round++) {
    // Another half of the memory, so that it is no delta to the last one.
    await fill(vm, memoryMiB, '/dev/shm/fill');
    bytes = await writtenOver(await vmmPid(ground, vm), /memory\.base/);
    writes.push(await writeTime(ground, bytes));
    let children: EngineVm[] = [];
    calls.push(
      await timed(async () => {
        children = await vm.fork({ onProgress: pauseInto(pauses) });
      }),
    );
    await discard(children);
    await unchanged(ground, vm, more);
  }
  const [pause, write] = [median(pauses), median(writes)];
  return [
    {
      what: `Pause of a loaded source (1 GB, 2 vCPUs, ${memoryMiB} MB written in memory, 2 GB on disk) during a fork, ${pauses.length} times`,
      ours: `${ms(pause)} (the fork: ${ms(median(calls))})`,
      floor: `${ms(write)} (${Math.round(bytes / MiB)} MB written to the same disk)`,
      promise: 'at most 1.5x',
      kept: pause <= 1.5 * write,
    },
    ...(
      [
        ['Another fork of it with nothing changed since, to the answer of the child', more.forks],
        ['Its pause during a snapshot with nothing changed since', more.snapshots],
        ['Its resume to the first output of an exec', more.resumes],
      ] as const
    ).map(([what, times]) => ({
      what: `${what}, ${times.length} times`,
      ours: ms(median(times)),
      floor: '-',
      promise: 'none: what the promises for an idle one are for a loaded one',
      kept: true,
    })),
  ];
}

/** What an idle guest is measured at as well: its size is to make no difference. */
async function unchanged(
  ground: Ground,
  vm: EngineVm,
  { forks, snapshots, resumes }: Record<'forks' | 'snapshots' | 'resumes', number[]>,
): Promise<void> {
  let children: EngineVm[] = [];
  forks.push(
    await timed(async () => {
      children = await vm.fork();
      await children[0]?.stats();
    }),
  );
  await discard(children);
  const { id } = await vm.snapshots.create({ onProgress: pauseInto(snapshots) });
  await ground.engine.snapshots.remove(id);
  await vm.suspend();
  resumes.push(
    await timed(async () => {
      await vm.start();
      await vm.exec(['uname', '-a']).orThrow();
    }),
  );
}

/** No page of zeros, and no program that computes each byte. */
export async function fill(vm: Vm, megabytes: number, file: string): Promise<void> {
  await vm.exec(['sh', '-c', 'dd if=/dev/urandom of=/dev/shm/one bs=1M count=1']).orThrow();
  const copy = `i=0; while [ $i -lt ${megabytes} ]; do cat /dev/shm/one; i=$((i+1)); done > ${file}`;
  await vm.exec(['sh', '-c', copy]).orThrow();
}

async function writeTime({ home }: Ground, bytes: number): Promise<number> {
  const file = path.join(home, 'written');
  const block = Buffer.alloc(MiB, 'x');
  const took = await timed(async () => {
    await using out = await open(file, 'w');
    for (let at = 0; at < bytes; at += block.length) await out.write(block);
  });
  await rm(file);
  return took;
}
