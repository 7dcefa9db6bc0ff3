import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { viv } from '../test/fake-context.ts';
import { FakeVivarium } from '../test/fake-vivarium.ts';
import { daemonProcess, stopDaemon } from './daemon-process.ts';

let home = '';
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'viv-daemon-'));
});
afterEach(() => rmSync(home, { recursive: true }));

const env = () => ({ VIV_HOME: home });
const options = { timeoutMs: 10_000, signal: new AbortController().signal };

function identify(pid: number) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return {
    pid,
    startTime: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  };
}

/** A process that owns the directory, as far as its owner file says. */
function own(pid: number, changes: object = {}): void {
  const owner = { program: 'vivd', since: new Date().toISOString(), ...identify(pid), ...changes };
  writeFileSync(path.join(home, 'owner.json'), JSON.stringify(owner));
}

function sleeper() {
  const child = spawn('sleep', ['60']);
  return Object.assign(child, { [Symbol.dispose]: () => void child.kill('SIGKILL') });
}

test('stopping ends the owner and waits until it is gone', async () => {
  using child = sleeper();
  const gone = once(child, 'exit');
  own(child.pid ?? 0);
  assert.equal(daemonProcess(env())?.pid, child.pid);
  assert.equal(await stopDaemon(env(), options), true);
  assert.equal(daemonProcess(env()), undefined);
  assert.deepEqual(await gone, [null, 'SIGTERM']);
  assert.equal(await stopDaemon(env(), options), false);
});

test('a process that only has the pid of an earlier owner is never signalled', async () => {
  using child = sleeper();
  for (const changes of [{ startTime: 1 }, { bootId: 'another' }]) {
    own(child.pid ?? 0, changes);
    assert.equal(await stopDaemon(env(), options), false);
  }
  assert.equal(child.exitCode ?? child.signalCode, null);
});

test('a directory that another program embeds is not stopped', async () => {
  using child = sleeper();
  own(child.pid ?? 0, { program: 'app' });
  await assert.rejects(stopDaemon(env(), options), (error) => isVivError(error, 'conflict'));
  assert.equal(child.exitCode ?? child.signalCode, null);
});

test('without a daemon, stop has nothing to do and logs says so', async () => {
  assert.deepEqual(await viv(['daemon', 'stop'], { env: env() }), {
    status: 0,
    stdout: '',
    stderr: 'viv: vivd was not running\n',
  });
  assert.equal((await viv(['daemon', 'logs'], { env: env() })).status, 4);
});

test('logs shows the last lines of the log', async () => {
  writeFileSync(path.join(home, 'vivd.log'), 'a\nb\nc\n');
  assert.equal((await viv(['daemon', 'logs', '-n', '2'], { env: env() })).stdout, 'b\nc\n');
  assert.equal((await viv(['daemon', 'logs'], { env: env() })).stdout, 'a\nb\nc\n');
});

test('status names the data directory and the process', async () => {
  own(process.pid);
  const { stdout } = await viv(['daemon', 'status', '--json'], { env: env() });
  const { running, pid, socket } = JSON.parse(stdout);
  assert.deepEqual(
    { running, pid, socket },
    { running: true, pid: process.pid, socket: path.join(home, 'vivd.sock') },
  );
});

test('start and status tell where the daemon listens on TCP, and start says nothing where it does not', async () => {
  own(process.pid);
  const vivarium = new FakeVivarium();
  const ask = (...words: string[]) => viv(['daemon', ...words], { env: env(), vivarium });
  assert.equal((await ask('start')).stdout, '');
  vivarium.url = 'http://127.0.0.1:41523';
  assert.equal((await ask('start')).stdout, 'http://127.0.0.1:41523\n');
  assert.match((await ask('status')).stdout, /, at http:\/\/127\.0\.0\.1:41523\n$/);
  const { stdout } = await ask('start', '--json');
  assert.deepEqual(JSON.parse(stdout), JSON.parse((await ask('status', '--json')).stdout));
  assert.equal(JSON.parse(stdout).url, vivarium.url);
});
