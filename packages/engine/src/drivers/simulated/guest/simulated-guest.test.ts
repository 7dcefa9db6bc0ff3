import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isVivError } from '@vivarium/model';
import { collect, connectedGuest, execSpec, guestConfig } from '../../../guest/connected-guest.ts';
import type { Guest } from '../../../guest/index.ts';
import { connectGuest } from '../../../guest/index.ts';
import type { SimulatedClock } from './clock.ts';
import { portPair } from './port-pair.ts';
import { SimulatedGuest } from './simulated-guest.ts';

/** Time that stands still until it is told to go on. */
class ManualClock implements SimulatedClock {
  #now = 0;
  #sleepers: { until: number; wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#sleepers.push({ until: this.#now + milliseconds, wake: resolve });
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  }

  pass(milliseconds: number): void {
    this.#now += milliseconds;
    for (const sleeper of this.#sleepers.filter((each) => each.until <= this.#now)) sleeper.wake();
  }
}

test('sleep ends when the clock of the guest says so', async () => {
  const clock = new ManualClock();
  await using setting = await connectedGuest({ clock });
  const exec = await setting.guest.exec(execSpec(['sleep', '60']));
  await setting.guest.ping();
  await new Promise((resolve) => setImmediate(resolve));
  clock.pass(59_999);
  await setting.guest.ping();
  assert.equal((await setting.guest.sessions())[0]?.running, true);
  clock.pass(1);
  assert.deepEqual(await exec.exit, { code: 0 });
});

test('the shell runs commands in a row, with conditions, quotes and its own environment', async () => {
  await using setting = await connectedGuest();
  const run = async (script: string) => {
    const exec = await setting.guest.exec(
      execSpec(['/bin/sh', '-c', script], { cwd: '/srv', env: { A: 'b' } }),
    );
    return { ...(await collect(exec)), code: (await exec.exit).code };
  };
  assert.deepEqual(await run(`echo "a  b" 'c'; pwd; env`), {
    stdout: 'a  b c\n/srv\nA=b\n',
    stderr: '',
    code: 0,
  });
  assert.deepEqual(await run('false && echo no'), { stdout: '', stderr: '', code: 1 });
  assert.deepEqual(await run('true || echo no; exit 300'), { stdout: '', stderr: '', code: 0 });
  assert.deepEqual(await run('nonsense'), { stdout: '', stderr: 'sh: nonsense: not found\n', code: 127 });
});

test('programs of its own can be given to a guest', async () => {
  const greet = async (io: { out(text: string): Promise<void> }) => {
    await io.out('hello from a program');
    return 4;
  };
  await using setting = await connectedGuest({ programs: { greet } });
  const exec = await setting.guest.exec(execSpec(['/usr/bin/greet']));
  assert.equal((await collect(exec)).stdout, 'hello from a program');
  assert.deepEqual(await exec.exit, { code: 4 });
});

test('the root workload writes to the log port, and its exit is the last line', async () => {
  const lines: string[] = [];
  await using setting = await connectedGuest({ onLog: (text) => lines.push(text) });
  await setting.guest.configure(guestConfig);
  const ended = new Promise((resolve) => setting.guest.onWorkloadExit(resolve));
  await setting.guest.startWorkload({
    id: 'root',
    argv: ['sh', '-c', 'echo one; echo two >&2; exit 3'],
    env: {},
    cwd: '/',
    user: 'root',
    stdin: 'null',
    output: 'ring',
  });
  await ended;
  const text = lines.join('').trimEnd().split('\n');
  assert.match(text[0] ?? '', /^\d{4}-\d\d-\d\dT[\d:.]{18}Z stdout F one$/);
  assert.match(text[1] ?? '', / stderr F two$/);
  assert.match(text[2] ?? '', / exit F \{"id":"root","code":3,"oom":false\}$/);
});

test('a guest whose root workload has ended and whom nobody asks switches itself off', async () => {
  const clock = new ManualClock();
  const off = Promise.withResolvers<void>();
  await using setting = await connectedGuest({ clock, onPowerOff: off.resolve });
  await setting.guest.configure(guestConfig);
  const ended = new Promise((resolve) => setting.guest.onWorkloadExit(resolve));
  const workload = { env: {}, cwd: '/', user: 'root', stdin: 'null', output: 'ring' } as const;
  await setting.guest.startWorkload({ id: 'root', argv: ['true'], ...workload });
  await ended;
  clock.pass(5_000);
  await off.promise;
  await setting.guest.closed;
});

test('a fault may drop the port after a number of frames', async () => {
  await using setting = await connectedGuest();
  setting.simulated.faults.dropAfterFrames = 2;
  await setting.guest.ping();
  await assert.rejects(setting.guest.ping(), (error) => isVivError(error, 'agent_unreachable'));
  await setting.guest.closed;
});

test('a port delivers what was written before it was closed, then its end', async () => {
  const [left, right] = portPair();
  const read: Buffer[] = [];
  right.on('data', (chunk: Buffer) => read.push(chunk));
  left.end('last words');
  await once(right, 'close');
  assert.equal(Buffer.concat(read).toString(), 'last words');
  await once(left, 'close');
});

test('a port that is not read holds its writer', async () => {
  const [left, right] = portPair();
  let written = 0;
  for (let n = 0; n < 100; n += 1) left.write(Buffer.alloc(65_536), () => (written += 1));
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(written < 5, `${written} were taken`);
  right.destroy();
});

test('a thousand connected guests take less than 30 MB', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage: () => void = runInNewContext('gc');
  collectGarbage();
  const before = process.memoryUsage();
  const kept: { simulated: SimulatedGuest; guest: Guest }[] = [];
  for (let n = 0; n < 1000; n += 1) {
    const simulated = new SimulatedGuest();
    const guest = await connectGuest(async (channel) => simulated.connect(channel));
    kept.push({ simulated, guest });
  }
  collectGarbage();
  const after = process.memoryUsage();
  const grown = after.heapUsed + after.external - before.heapUsed - before.external;
  for (const { simulated } of kept) simulated.end();
  assert.ok(grown < 30 * 1024 * 1024, `${(grown / 1024 / 1024).toFixed(1)} MB`);
});
