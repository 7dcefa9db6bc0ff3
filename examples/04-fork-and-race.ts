/*
 * A VM is prepared once and then copied ten times as it stands, memory and processes and all. The copies try different things
 * at the same time; the first that succeeds wins, and the others are stopped in the middle of what they do.
 */
import { viv } from 'vivarium';

await using prepared = await viv.run('busybox', { name: 'prepared', network: 'none' });
await prepared.files.writeFile('/secret', '7\n');

const copies = await prepared.fork({ count: 10, name: 'racer-%d' });
await using cleanup = new AsyncDisposableStack();
for (const copy of copies) cleanup.use(copy);

const over = new AbortController();
const winner = await Promise.any(
  copies.map(async (copy, guess) => {
    // Only the right guess ends by itself.
    const script = `test $(cat /secret) = ${guess} || sleep 3600`;
    await copy.exec(['sh', '-c', script], { signal: over.signal }).orThrow();
    return { name: copy.name, guess };
  }),
);
over.abort();
console.log(`${winner.name} of ${copies.length} found ${winner.guess}`);

const ids = await Promise.all(
  copies.map(async (copy) => (await copy.exec(['cat', '/proc/sys/kernel/random/uuid'])).stdout),
);
console.log('different random numbers:', new Set(ids).size);

/* prints:
racer-8 of 10 found 7
different random numbers: 10
*/
