/*
 * What an agent wrote is run where it can do no harm: a VM of its own without a network card, 128 MB of memory and two seconds of
 * time. Its output and files come back as data, also where it had to be killed.
 */
import { type Vm, viv } from 'vivarium';

async function runCode(vm: Vm, code: string): Promise<void> {
  await vm.files.writeFile('/job/main.sh', code);
  const result = await vm.exec(['sh', 'main.sh'], { cwd: '/job', timeoutMs: 2000 });
  const end = result.timedOut ? 'killed after 2 s' : `exit ${result.exitCode}`;
  console.log(`${end}: ${(result.stdout + result.stderr).trim()}`);
}

await using vm = await viv.run('busybox', { network: 'none', memory: '128MB' });
await vm.exec(['mkdir', '/job']).orThrow();

await runCode(vm, 'echo $((6 * 7)) | tee answer.txt');
await runCode(vm, 'echo thinking; while true; do :; done');
await runCode(vm, 'ip route | wc -l; cat /etc/shadow-of-the-host');

console.log('answer.txt:', String(await vm.files.readFile('/job/answer.txt')).trim());

/* prints:
exit 0: 42
killed after 2 s: thinking
exit 1: 0
cat: can't open '/etc/shadow-of-the-host': No such file or directory
answer.txt: 42
*/
