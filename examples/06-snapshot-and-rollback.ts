/*
 * A change that may go wrong: a snapshot first, with memory and disk of one instant, and back to it when the change has failed. What
 * ran then runs again, from where it was.
 */
import { viv } from 'vivarium';

await using vm = await viv.run('busybox', { network: 'none' });
await vm.files.writeFile('/etc/app.conf', 'workers=2\n');
await vm.exec(['sh', '-c', 'sleep 3600 >/dev/null 2>&1 & echo $! >/app.pid']).orThrow();

const { name, hasMemory } = await vm.snapshots.create({ name: 'before-upgrade', expires: '1d' });
console.log('kept:', name, 'with memory:', hasMemory);

const upgrade = await vm.exec(['sh', '-c', 'kill $(cat /app.pid); rm /etc/app.conf; exit 1']);
console.log('upgrade ok:', upgrade.ok);

await vm.stop({ force: true });
await vm.snapshots.restore('before-upgrade');
await vm.start();
console.log('config:', String(await vm.files.readFile('/etc/app.conf')).trim());
console.log('app runs:', (await vm.exec(['sh', '-c', 'kill -0 $(cat /app.pid)'])).ok);
await vm.snapshots.remove('before-upgrade');

/* prints:
kept: before-upgrade with memory: true
upgrade ok: false
config: workers=2
app runs: true
*/
