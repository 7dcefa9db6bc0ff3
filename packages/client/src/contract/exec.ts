import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Vm } from '@vivarium/model';
import { collect, failure } from './expect.ts';
import type { Given } from './index.ts';

export function execContract(given: Given): void {
  describe('commands', () => {
    let vm: Vm;
    before(async () => {
      vm = await given().run('busybox', { name: 'contract-exec' });
    });
    after(() => vm.delete({ force: true }));

    it('give both outputs apart and their exit code, without throwing', async () => {
      const result = await vm.exec(['sh', '-c', 'echo out; echo err >&2; exit 7']);
      assert.equal(result.stdout, 'out\n');
      assert.equal(result.stderr, 'err\n');
      assert.equal(result.exitCode, 7);
      assert.equal(result.ok, false);
      const error = await failure(vm.exec(['false']).orThrow(), 'guest_error');
      assert.equal((error.details as { result: { exitCode: number } }).result.exitCode, 1);
    });

    it('read their stdin, or end of file where they have none', async () => {
      assert.equal((await vm.exec(['wc', '-c'], { stdin: 'data\n' })).stdout.trim(), '5');
      assert.equal((await vm.exec(['wc', '-c'])).stdout.trim(), '0');
      async function* pieces() {
        for (let i = 0; i < 20; i++) yield Buffer.alloc(50_000, 97);
      }
      assert.equal((await vm.exec(['wc', '-c'], { stdin: pieces() })).stdout.trim(), '1000000');
    });

    it('are talked with while they run', async () => {
      const cat = vm.exec(['cat'], { stdin: 'open-stream' });
      const output = cat[Symbol.asyncIterator]();
      await cat.write('one');
      assert.equal(Buffer.from((await output.next()).value?.data ?? []).toString(), 'one');
      await cat.end();
      assert.equal((await output.next()).done, true);
      assert.equal((await cat).exitCode, 0);
    });

    it('are iterated line by line, all of them, however slowly', async () => {
      const lines = await collect(vm.exec(['seq', '100000']).lines());
      assert.equal(lines.length, 100_000);
      assert.equal(lines.at(-1), '100000');
    });

    it('end when their reader leaves the loop, when aborted, when killed and when time is up', async () => {
      await collect(vm.exec(['yes']), 3);
      const controller = new AbortController();
      const aborted = vm.exec(['sleep', '1000'], { signal: controller.signal });
      await aborted.id;
      controller.abort();
      await assert.rejects(async () => await aborted, { code: 'cancelled' });
      const killed = vm.exec(['sleep', '1000']);
      await killed.kill('SIGKILL');
      const { exitCode, signal } = await killed;
      assert.equal(exitCode, 137);
      assert.equal(signal, 'SIGKILL');
      const late = await vm.exec(['sleep', '1000'], { timeoutMs: 100 });
      assert.equal(late.timedOut, true);
      assert.equal(late.ok, false);
    });

    it('that are missing, empty or malformed are told apart from those that fail', async () => {
      await failure(vm.exec(['contract-no-such-command']), 'command_not_found');
      await failure(vm.exec([]), 'invalid_request');
    });

    it('run beside each other without mixing', async () => {
      const results = await Promise.all(Array.from({ length: 25 }, (_, i) => vm.exec(['echo', String(i)])));
      assert.deepEqual(
        results.map(({ stdout }) => stdout),
        results.map((_, i) => `${i}\n`),
      );
    });

    it('get their environment, directory and user', async () => {
      const { stdout } = await vm.exec(['env'], { env: { CONTRACT: 'kept' } });
      assert.match(stdout, /^CONTRACT=kept$/m);
      assert.equal((await vm.exec(['pwd'], { cwd: '/tmp' })).stdout, '/tmp\n');
    });
  });
}
