/*
 * What a dashboard is made of: the numbered events of a VM, which go on after a lost connection where they were, and what the VM
 * uses. A long call is watched by its stages while it works.
 */
import { viv } from 'vivarium';

const task = viv.run('busybox', { network: 'none' });
const stages = new Set<string>();
for await (const { stage } of task) stages.add(stage);
await using vm = await task;
console.log('made and up:', stages.has('creating') && stages.has('running'));

const { memory, processes } = await vm.stats();
console.log('uses some memory:', memory.usedBytes > 0, 'has processes:', processes > 0);

const restarted = vm.restart({ timeoutMs: 1000 });
const states: unknown[] = [];
for await (const event of viv.events({ since: 0, instance: vm.id, signal: AbortSignal.timeout(60_000) })) {
  if (event.type !== 'state') continue;
  states.push(event.data.to);
  // The second time it runs it has been restarted.
  if (states.filter((state) => state === 'Running').length === 2) break;
}
await restarted;
console.log('ran, stopped, ran:', states.includes('Stopped') && states.at(-1) === 'Running');

/* prints:
made and up: true
uses some memory: true has processes: true
ran, stopped, ran: true
*/
