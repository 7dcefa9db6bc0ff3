/*
 * The engine inside this process, with no daemon: the same interface, a data directory of its own, and VMs that end with the
 * process. `driver: 'simulated'` gives VMs that exist in memory only, which tests of one's own code can make by the thousand.
 */
import { openEngine } from 'vivarium/engine';

{
  await using engine = await openEngine();
  const vm = await engine.run('busybox', { network: 'none' });
  console.log('real:', (await vm.exec(['uname', '-s'])).stdout.trim());
}

await using pretended = await openEngine({ driver: 'simulated' });
await Promise.all(
  Array.from({ length: 100 }, (_, number) => pretended.run('busybox', { name: `vm-${number}` })),
);
let running = 0;
for await (const { state } of pretended.all()) if (state === 'Running') running++;
console.log('simulated:', running);

/* prints:
real: Linux
simulated: 100
*/
