import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Measured, ms } from '../../figure.ts';
import { rawSave } from '../../floor/clone.ts';
import { RawSource } from '../../floor/fork.ts';
import { RawQmp } from '../../floor/qmp.ts';
import { median, timed } from '../../stats.ts';
import { type Ground, image, type Vm } from './ground.ts';

const MiB = 2 ** 20;

/** Forks and snapshots of an idle guest of 256 MB. */
export async function copies(ground: Ground): Promise<Measured[]> {
  const { engine, template, rounds, margin } = ground;
  await using source = await engine.run(image, { cmd: ['sleep', '1000000'] });
  await source.exec(['true']).orThrow();
  const pauses = { fork: [] as number[], snapshot: [] as number[], raw: [] as number[] };
  const answers = { ours: [] as number[], floor: [] as number[], raw: [] as number[] };
  const copied: number[] = [];
  await using rawSource = await RawSource.make(template, ['sh', '-c', 'echo up; exec sleep 1000000']);
  await discard(await source.fork());
  await rawSource.fork();
  for (let round = 0; round < rounds; round++) {
    const raw = await rawPause(ground);
    pauses.raw.push(raw.milliseconds);
    copied.push(raw.bytes);
    answers.floor.push(await clone(ground));
    answers.raw.push(await rawSource.fork());
    // Nothing has changed since the one before. A fork is over once its child has answered, told who it is.
    let children: Vm[] = [];
    answers.ours.push(
      await timed(async () => {
        children = await source.fork({ onProgress: pauseInto(pauses.fork) });
      }),
    );
    await children[0]?.stats();
    await discard(children);
    const { id } = await source.snapshots.create({ onProgress: pauseInto(pauses.snapshot) });
    await engine.snapshots.remove(id);
  }
  ground.starts.set('fork, to its answer', answers.ours);
  const many = await tenAtOnce(ground, source, rawSource, median(answers.floor));
  const beyond = median(answers.ours) - median(answers.floor);
  const raw = `${ms(median(pauses.raw))} (raw clone, ${(median(copied) / MiB).toFixed(1)} MB copied while it stands still)`;
  return [
    ...(['fork', 'snapshot'] as const).map((kind) => ({
      what: `Pause of an idle source of 256 MB during a live ${kind}, ${rounds} rounds`,
      ours: ms(median(pauses[kind])),
      floor: raw,
      promise: `at most ${30 * margin} ms`,
      kept: median(pauses[kind]) <= 30 * margin,
    })),
    {
      what: `Another fork with nothing changed since, to the child's answer, less a raw clone's`,
      ours: `${ms(beyond)} (${ms(median(answers.ours))})`,
      floor: `${ms(median(answers.floor))} (raw clone; a raw fork through the same steps: ${ms(median(answers.raw))}, so ${ms(median(answers.raw) - median(answers.floor))} over it)`,
      promise: `at most ${60 * margin} ms`,
      kept: beyond <= 60 * margin,
    },
    many,
  ];
}

/** Milliseconds to the greeting of a raw clone, which is gone afterwards. */
async function clone({ template }: Ground): Promise<number> {
  const began = performance.now();
  await using _clone = await template.alive();
  return performance.now() - began;
}

/** Beside ten raw children of one save, made one after the other; and beside ten raw clones that are only greeted. */
async function tenAtOnce(
  ground: Ground,
  source: Vm,
  rawSource: RawSource,
  greeted: number,
): Promise<Measured> {
  const { margin } = ground;
  const times: number[] = [];
  const floors: number[] = [];
  for (let round = 0; round < Math.max(1, Math.floor(ground.rounds / 4)); round++) {
    let children: Vm[] = [];
    times.push(
      await timed(async () => {
        children = await source.fork({ count: 10, name: `ten-${round}-%d` });
      }),
    );
    await Promise.all(children.map((child) => child.stats()));
    await discard(children);
    floors.push(await rawSource.fork(10));
  }
  const [ours, floor] = [median(times), median(floors)];
  return {
    what: `Ten forks of one source at once, all answering, ${times.length} times`,
    ours: ms(ours),
    floor: `${ms(floor)} (ten raw children of one save through the same steps, one after the other; ten raw clones that are told nothing: ${ms(10 * greeted)}, of which ours is ${(ours / (10 * greeted)).toFixed(2)}x)`,
    promise: `at most ${0.85 * margin}x the floor`,
    kept: ours <= 0.85 * margin * floor,
  };
}

/** A raw clone that has only just answered: what it has written is copied while it stands still. */
async function rawPause({ template }: Ground): Promise<{ milliseconds: number; bytes: number }> {
  await using machine = await template.alive();
  using qmp = await RawQmp.connect(machine);
  const place = path.join(tmpdir(), `viv-floor-save-${process.pid}`);
  const state = { memory: `${place}.memory`, devices: `${place}.devices` };
  try {
    return await rawSave(machine, qmp, 256 * MiB, state);
  } finally {
    await Promise.all(Object.values(state).map((file) => rm(file, { force: true })));
  }
}

export const pauseInto =
  (list: number[]) =>
  (progress: { stage: string; pauseMilliseconds?: number }): void => {
    if (progress.stage === 'saved' && progress.pauseMilliseconds !== undefined)
      list.push(progress.pauseMilliseconds);
  };

export async function discard(vms: readonly Vm[]): Promise<void> {
  await Promise.all(vms.map((vm) => vm.delete({ force: true })));
}
