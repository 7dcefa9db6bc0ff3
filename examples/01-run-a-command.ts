/*
 * A VM for the length of a block, and commands in it. A command that fails throws nothing: its result says so, and `orThrow` turns
 * it into an error for those who want one.
 */
import { isVivError, viv } from 'vivarium';

await using vm = await viv.run('busybox');

const { stdout } = await vm.exec(['uname', '-s']);
console.log('kernel:', stdout.trim());

const failed = await vm.exec(['sh', '-c', 'echo no such thing >&2; exit 3']);
console.log('exit:', failed.exitCode, 'stderr:', failed.stderr.trim());

for await (const line of vm.exec(['seq', '1', '3']).lines()) console.log('line:', line);

try {
  await vm.exec(['false']).orThrow();
} catch (error) {
  if (!isVivError(error, 'guest_error')) throw error;
  console.log('thrown:', error.code);
}

/* prints:
kernel: Linux
exit: 3 stderr: no such thing
line: 1
line: 2
line: 3
thrown: guest_error
*/
