/*
 * A service that gives every job a fresh VM and makes nobody wait for one: the pool keeps two that run already. A job that is over
 * gives its VM back by leaving its scope, and the pool makes another one.
 */
import { type Pool, viv } from 'vivarium';

async function job(pool: Pool, number: number): Promise<string> {
  await using vm = await pool.acquire({ signal: AbortSignal.timeout(60_000) });
  const { stdout } = await vm.exec([
    'sh',
    '-c',
    `test -e /used && echo dirty; touch /used; echo job ${number}`,
  ]);
  return stdout.trim();
}

await using pool = await viv.pools.create('workers', { image: 'busybox', size: 2, network: 'none' });
const results = await Promise.all([1, 2, 3, 4].map((number) => job(pool, number)));
console.log(results.join(', '));

const counts = new Map<string, number>();
for await (const { type } of pool.events({ since: 0 })) {
  counts.set(type, (counts.get(type) ?? 0) + 1);
  if (type === 'acquired' && counts.get(type) === results.length) break;
}
console.log('handed out:', counts.get('acquired'));

/* prints:
job 1, job 2, job 3, job 4
handed out: 4
*/
