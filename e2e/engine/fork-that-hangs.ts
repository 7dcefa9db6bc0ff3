import { openEngine } from '@vivarium/engine';
import { qemuParts } from '../../packages/engine/src/parts.ts';

/* A daemon that comes no further than the middle of a fork's pause, and waits there to be killed. Argument: its data directory. */

const home = process.argv[2];
if (home === undefined) throw new Error('no data directory');
const parts = await qemuParts(home, { 'vmm.zygote': 'on' });
const reached = Promise.withResolvers<void>();
const newLayer = async () => {
  reached.resolve();
  return new Promise<never>(() => {});
};
const engine = await openEngine({
  home,
  mode: 'daemon',
  templates: { backgroundDelayMs: 600_000 },
  driver: { ...parts, disks: { ...parts.disks, newLayer } },
});
const counting = 'i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.05; done';
const vm = await engine.run('busybox', { name: 'source', cmd: ['sh', '-c', counting] });
Promise.resolve(vm.fork()).catch(() => undefined); // it never comes to that
await reached.promise;
process.stdout.write(`${vm.id}\n`);
setInterval(() => undefined, 1000);
