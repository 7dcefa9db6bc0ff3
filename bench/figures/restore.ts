import type { Figure, Measured } from '../figure.ts';
import { drawStarts } from '../plot.ts';
import { copies } from './restore/copies.ts';
import { crowd } from './restore/crowd.ts';
import { throughDaemon } from './restore/daemon.ts';
import { type Ground, openGround } from './restore/ground.ts';
import { loaded } from './restore/loaded.ts';
import { poolAcquire } from './restore/pool.ts';
import { starts } from './restore/starts.ts';

const rounds = Number(process.env.BENCH_ROUNDS ?? 20);

/** Everything that goes on from memory instead of booting. Memory files lie where the temporary directory is: let that be a disk. */
export const restore: Figure = {
  name: 'restore',
  run: () =>
    measured({ rounds, margin: 1 }, [starts, copies, poolAcquire, loaded, crowd, throughDaemon], drawStarts),
};

/** How long sources stand still, and what their copies cost: a part of `restore`. */
export const pauses: Figure = {
  name: 'pauses',
  run: () => measured({ rounds, margin: 1 }, [copies, loaded]),
};

/** Whether anything has gone badly wrong: what holds on a busy machine too, in less than 90 s. CI asks. */
export const ratios: Figure = {
  name: 'ratios',
  run: () => measured({ rounds: 4, margin: 3 }, [starts, copiesAtLarge, poolAcquire]),
};

/** Of forks not even the promise is kept yet: what is looked for is that they get worse. */
const copiesAtLarge = (ground: Ground): Promise<Measured[]> =>
  copies({ ...ground, margin: 2 * ground.margin });

async function measured(
  how: Pick<Ground, 'rounds' | 'margin'>,
  parts: readonly ((ground: Ground) => Promise<Measured[]>)[],
  finish?: (ground: Ground) => Promise<void>,
): Promise<Measured[]> {
  await using ground = await openGround(how);
  const rows: Measured[] = [];
  for (const part of parts) {
    process.stderr.write(`  ${part.name}\n`);
    rows.push(...(await part(ground)));
  }
  await finish?.(ground);
  return rows;
}
