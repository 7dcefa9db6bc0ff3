/*
 * Two ways into a running guest that need no published port: a shell on a terminal, written to and resized as a person would, and a
 * TCP connection to a port that only listens inside, as for a database.
 */
import { text } from 'node:stream/consumers';
import { viv } from 'vivarium';

await using vm = await viv.run('busybox', { network: 'none' });

const shell = vm.exec(['sh'], { stdin: 'open-stream', tty: { rows: 24, cols: 80 } });
await shell.resize({ rows: 50, cols: 132 });
await shell.write('stty size; exit 5\n');
let seen = '';
for await (const { data } of shell) seen += data.toString();
console.log('terminal:', /\d+ \d+/.exec(seen)?.[0], 'exit:', (await shell).exitCode);

// In place of a database: a server that answers one line.
await vm.files.writeFile('/database', 'read query; echo "rows of $query"\n');
await vm.exec(['sh', '-c', 'nc -l -p 5432 -e sh /database >/dev/null 2>&1 &']).orThrow();
const listens = 'until netstat -ltn | grep -q :5432; do sleep 1; done';
await vm.exec(['sh', '-c', listens], { timeoutMs: 20_000 }).orThrow();
const database = await vm.connect(5432);
database.end('select 1\n');
console.log('database:', (await text(database)).trim());

/* prints:
terminal: 50 132 exit: 5
database: rows of select 1
*/
