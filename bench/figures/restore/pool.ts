import { setTimeout as delay } from 'node:timers/promises';
import { type Measured, ms } from '../../figure.ts';
import { median } from '../../stats.ts';
import { type Ground, image } from './ground.ts';

/** From asking a pool of running VMs to the first output of an exec in the one it hands out. */
export async function poolAcquire(ground: Ground): Promise<Measured[]> {
  const { engine, rounds, margin } = ground;
  const pool = await engine.pools.create('bench', { image, cmd: ['sleep', '1000000'], size: 2 });
  const times: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      while ((await pool.refresh()).health !== 'full') await delay(50);
      const began = performance.now();
      await using vm = await pool.acquire();
      await vm.exec(['uname', '-a']).orThrow();
      times.push(performance.now() - began);
    }
  } finally {
    await pool.remove();
  }
  ground.starts.set('pool, acquire', times);
  return [
    {
      what: `Acquire of a running VM of a pool to the output of an exec, ${rounds} times`,
      ours: ms(median(times)),
      floor: '-',
      promise: `at most ${20 * margin} ms`,
      kept: median(times) <= 20 * margin,
    },
  ];
}
