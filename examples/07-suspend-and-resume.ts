/*
 * A session that somebody comes back to after days: suspended it costs no memory and no CPU, only disk. Resumed it goes on
 * where it was, variables of the shell and all; the VM is found again by its name, from any program.
 */
import { viv } from 'vivarium';

const monday = await viv.run('busybox', { name: 'session', network: 'none' });
// A process that counts in its memory, and says so when it is asked.
await monday
  .exec([
    'sh',
    '-c',
    `(n=0; trap 'n=$((n+1)); echo $n >/count' USR1; while :; do sleep 1; done) >/dev/null 2>&1 & echo $! >/pid`,
  ])
  .orThrow();
const count = 'rm -f /count; kill -USR1 $(cat /pid); until test -s /count; do sleep 1; done; cat /count';
console.log('monday:', (await monday.exec(['sh', '-c', count])).stdout.trim());
await monday.suspend();
console.log('at night:', (await viv.get('session')).info.state);

await using friday = await viv.get('session');
await friday.start();
console.log('friday:', (await friday.exec(['sh', '-c', count])).stdout.trim());
const clock = Number((await friday.exec(['date', '+%s'])).stdout);
console.log('clock is right:', Math.abs(clock - Date.now() / 1000) < 5);

/* prints:
monday: 1
at night: Suspended
friday: 2
clock is right: true
*/
