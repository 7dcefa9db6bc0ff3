import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Vm } from '@vivarium/model';
import { RealEngine, until } from './real-engine.ts';

describe('commands in a real VM', () => {
  let real: RealEngine;
  let vm: Vm;
  before(async () => {
    real = await RealEngine.open();
    vm = await real.engine.run('busybox', { env: { FROM_CREATE: 'yes' }, hostname: 'execbox' });
  });
  after(() => real[Symbol.asyncDispose]());

  const sh = (script: string, options = {}) => vm.exec(['sh', '-c', script], options);
  const out = async (script: string, options = {}) => (await sh(script, options).orThrow()).stdout.trim();
  const processes = async (word: string) =>
    (await vm.exec(['ps', '-o', 'args'])).stdout.split('\n').filter((line) => line.includes(word));

  test('have the environment of image and instance, and what the call adds wins', async () => {
    const env = await out('env', { env: { FROM_CALL: 'a b=c\n"d"', HOME: '/elsewhere' } });
    assert.match(env, /^FROM_CREATE=yes$/m);
    assert.match(env, /^PATH=.*\/bin/m);
    assert.match(env, /^FROM_CALL=a b=c\n"d"$/m);
    assert.match(env, /^HOME=\/elsewhere$/m);
  });

  test('run in the directory they are given, and a missing one is told by its name', async () => {
    assert.equal(await out('pwd', { cwd: '/etc' }), '/etc');
    await assert.rejects(sh('pwd', { cwd: '/no/such' }).orThrow(), { code: 'path_not_found' });
  });

  test('run as a user by name, id, name:group and uid:gid', async () => {
    await vm.files.writeFile('/etc/group', 'root:x:0:\nstaff:x:50:tester\ntesters:x:1234:\n');
    await vm.files.writeFile(
      '/etc/passwd',
      'root:x:0:0:root:/root:/bin/sh\ntester:x:1000:1234:T:/home/tester:/bin/sh\n',
    );
    const ids = '$(id -u):$(id -g):$(id -G)';
    assert.equal(await out(`echo "${ids} $HOME"`, { user: 'tester' }), '1000:1234:1234 50 /home/tester');
    assert.match(await out(`echo "${ids}"`, { user: '1000' }), /^1000:1234:/);
    assert.match(await out(`echo "${ids}"`, { user: 'tester:staff' }), /^1000:50:/);
    assert.match(await out(`echo "${ids}"`, { user: '4321:8765' }), /^4321:8765:/);
  });

  test('of a user or group that the image does not have are refused by that name', async () => {
    for (const user of ['nosuchuser', 'root:nosuchgroup', 'nosuch:0']) {
      await assert.rejects(sh('true', { user }).orThrow(), (error: Error & { code: string }) => {
        assert.equal(error.code, 'user_not_found');
        assert.match(error.message, /nosuch/);
        return true;
      });
    }
  });

  test('that are missing, not executable or of a wrong kind are told apart', async () => {
    await assert.rejects(vm.exec(['no-such-command']).orThrow(), { code: 'command_not_found' });
    await assert.rejects(vm.exec(['/no/such/command']).orThrow(), { code: 'command_not_found' });
    await assert.rejects(vm.exec(['/etc/passwd']).orThrow(), { code: 'command_not_executable' });
    await assert.rejects(vm.exec(['/etc']).orThrow(), { code: 'command_not_executable' });
    await vm.files.writeFile('/tmp/garbage', randomBytes(4096), { mode: 0o755 });
    await assert.rejects(vm.exec(['/tmp/garbage']).orThrow(), { code: 'command_not_executable' });
    assert.equal((await sh('no-such-command')).exitCode, 127);
  });

  test('end with 128 and the number of the signal that ended them, and with its name', async () => {
    for (const [signal, number] of Object.entries({ SIGTERM: 15, SIGKILL: 9, SIGSEGV: 11, SIGUSR1: 10 })) {
      const { exitCode, signal: name, ok } = await sh(`kill -${number} $$`);
      assert.deepEqual([exitCode, name, ok], [128 + number, signal, false]);
    }
  });

  test('read three megabytes and their end, and both outputs and the exit code come back', async () => {
    const input = randomBytes(3 << 20);
    const md5 = createHash('md5').update(input).digest('hex');
    const result = await sh('md5sum; echo apart >&2; exit 3', { stdin: input });
    assert.deepEqual([result.exitCode, result.stdout.split(' ')[0], result.stderr], [3, md5, 'apart\n']);
  });

  test('that end without reading their stdin still end', async () => {
    const result = await sh('exit 5', { stdin: Buffer.alloc(8 << 20) });
    assert.equal(result.exitCode, 5);
  });

  test('are killed with their whole process group when they are aborted', async () => {
    const controller = new AbortController();
    const script = 'sleep 7771 & (sleep 7772 & sleep 7773) & wait';
    const running = sh(script, { signal: controller.signal });
    await running.id;
    await until('three sleeps', async () => (await processes('sleep 777')).length >= 3);
    controller.abort();
    await assert.rejects(running.orThrow());
    await until('no sleep', async () => (await processes('sleep 777')).length === 0);
  });

  test('are killed with their group when time is up, and what they had printed is kept', async () => {
    const late = await sh('echo before; sleep 7781 & sleep 7782', { timeoutMs: 400 });
    assert.deepEqual([late.timedOut, late.ok, late.stdout], [true, false, 'before\n']);
    await until('no sleep', async () => (await processes('sleep 778')).length === 0);
  });

  test('get signals that are sent to them, and may handle them', async () => {
    const running = sh('trap "echo got; exit 9" INT; echo ready; while :; do sleep 0.05; done');
    let told = '';
    for await (const line of running.lines()) {
      told += `${line};`;
      if (line === 'ready') await running.kill('SIGINT');
    }
    assert.equal(told, 'ready;got;');
    assert.equal((await running).exitCode, 9);
  });

  test('with a terminal know its size, hear of its change, and have job control', async () => {
    const running = sh('stty size; trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.05; done', {
      tty: { rows: 31, cols: 97 },
    });
    const lines: string[] = [];
    for await (const line of running.lines()) {
      lines.push(line);
      if (line === 'ready') await running.resize({ rows: 40, cols: 120 });
    }
    assert.deepEqual(lines, ['31 97', 'ready', '40 120']);
  });

  test('with a terminal are interrupted by Ctrl-C', async () => {
    const running = sh('trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.05; done', {
      tty: { rows: 24, cols: 80 },
      stdin: 'open-stream',
    });
    const lines: string[] = [];
    for await (const line of running.lines()) {
      lines.push(line);
      if (line === 'ready') await running.write('\x03');
    }
    assert.match(lines.join('|'), /ready\|.*interrupted/);
    assert.equal((await running).exitCode, 3);
  });

  test('of five callers, 25 each, do not mix', async () => {
    const worker = async (name: number) => {
      for (let n = 0; n < 25; n++) {
        const word = `${name}-${n}`;
        const { stdout, stderr, exitCode } = await sh(`echo ${word}; echo ${word} >&2; exit ${n}`);
        assert.deepEqual([stdout, stderr, exitCode], [`${word}\n`, `${word}\n`, n]);
      }
    };
    await Promise.all([1, 2, 3, 4, 5].map(worker));
  });

  test('that print much wait for a slow reader, and nothing is lost or doubled', async () => {
    const running = vm.exec(['seq', '1', '400000']);
    let next = 1;
    for await (const line of running.lines()) {
      assert.equal(line, String(next));
      if (next % 100_000 === 0) await delay(200);
      next += 1;
    }
    assert.equal(next, 400_001);
  });

  test('whose output nobody reads hold up no other', async () => {
    const stuck = vm.exec(['yes']);
    const output = stuck[Symbol.asyncIterator]();
    await output.next();
    for (let n = 0; n < 10; n++) assert.equal(await out(`echo ${n}`), String(n));
    await output.return?.();
    await until('no yes', async () => (await processes('yes')).length === 0);
  });

  test('that print more than is kept are ended and refused', async () => {
    await assert.rejects(vm.exec(['yes'], { maxBufferBytes: 100_000 }).orThrow(), {
      code: 'payload_too_large',
    });
    await until('no yes', async () => (await processes('yes')).length === 0);
  });

  test('that leave a child with their output open are still heard of when they end', async () => {
    assert.equal((await sh('sleep 7791 & echo done')).stdout, 'done\n');
    await sh('pkill -f "sleep 7791"');
  });

  test('with a NUL byte, an empty name or too many words are refused without harm', async () => {
    await assert.rejects(vm.exec(['a\0b']).orThrow(), { code: 'invalid_request' });
    await assert.rejects(vm.exec(['']).orThrow(), { code: 'invalid_request' });
    await assert.rejects(vm.exec(['echo', ...Array(40).fill('x'.repeat(100_000))]).orThrow());
    assert.equal(await out('echo well'), 'well');
  });

  test('beside the workload find nothing of the image', async () => {
    await assert.rejects(vm.exec(['sh'], { target: 'vm' }).orThrow(), { code: 'command_not_found' });
    assert.equal(await out('hostname'), 'execbox');
  });
});
