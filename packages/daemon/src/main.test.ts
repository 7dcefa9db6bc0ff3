import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { connect } from '@vivarium/client';
import { isVivError } from '@vivarium/model';

const program = path.join(import.meta.dirname, 'main.ts');
let dir: string;
const children: ChildProcess[] = [];
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'vivd-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) await ended(child, 'SIGKILL');
});
after(() => rmSync(dir, { recursive: true, force: true }));

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }
  return child.exitCode;
}

/** A daemon of simulated VMs; resolves when it is ready or has ended. */
async function daemon(home: string): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, [program, '--home', home, '--driver', 'simulated'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  await Promise.race([once(child.stdout as never, 'data'), once(child, 'close')]);
  return { child, said };
}

/** What `autostart` is given here: the same program, with simulated VMs. */
async function start({ home }: { home: string }): Promise<void> {
  await daemon(home);
}

test('a daemon is ready with a socket only its user can open, and leaves nothing of it behind', async () => {
  const home = path.join(dir, 'ready');
  const { child } = await daemon(home);
  const socket = path.join(home, 'vivd.sock');
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  assert.equal(readFileSync(path.join(home, 'vivd.pid'), 'utf8'), `${child.pid}\n`);
  assert.equal(await ended(child, 'SIGTERM'), 0);
  assert.equal(existsSync(socket), false);
  assert.equal(existsSync(path.join(home, 'vivd.pid')), false);
  const log = readFileSync(path.join(home, 'vivd.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    log.map(({ message }) => message),
    ['ready', 'going', 'gone'],
  );
});

test('a second daemon on a data directory names the first and leaves it alone', async () => {
  const home = path.join(dir, 'two');
  const { child } = await daemon(home);
  const second = await daemon(home);
  assert.equal(await ended(second.child, 'SIGTERM'), 75);
  assert.match(second.said, new RegExp(`pid ${child.pid}`));
  await using viv = connect({ home, autostart: false });
  assert.deepEqual((await viv.list()).items, []);
});

test('a socket whose owner was killed is replaced; one that is no socket is not', async () => {
  const home = path.join(dir, 'stale');
  await ended((await daemon(home)).child, 'SIGKILL');
  assert.ok(existsSync(path.join(home, 'vivd.sock')));
  const { child } = await daemon(home);
  await using viv = connect({ home, autostart: false });
  assert.deepEqual((await viv.list()).items, []);
  await ended(child, 'SIGTERM');
  writeFileSync(path.join(home, 'vivd.sock'), 'precious');
  const refused = await daemon(home);
  assert.notEqual(await ended(refused.child, 'SIGTERM'), 0);
  assert.equal(readFileSync(path.join(home, 'vivd.sock'), 'utf8'), 'precious');
});

test('the SDK starts a daemon that is missing, once for all that ask, and again after a kill', async () => {
  const home = path.join(dir, 'auto');
  let starts = 0;
  await using viv = connect({
    home,
    autostart: (options) => {
      starts++;
      return start(options);
    },
  });
  const pages = await Promise.all([viv.list(), viv.list(), viv.images.list()]);
  assert.equal(pages.length, 3);
  assert.equal(starts, 1);
  await ended(children[0] as ChildProcess, 'SIGKILL');
  assert.deepEqual((await viv.list()).items, []);
  assert.equal(starts, 2);
});

test('two programs that start the daemon at once both get the one that wins', async () => {
  const home = path.join(dir, 'race');
  const script = `
    const { connect } = await import(${JSON.stringify(path.join(import.meta.dirname, '../../client/src/index.ts'))});
    await using viv = connect({ home: ${JSON.stringify(home)} });
    try { await viv.list(); console.log('listed'); } catch (error) { console.log(error.code); }`;
  const runs = [1, 2, 3].map(() => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
    });
    return once(child, 'close').then(() => said.trim());
  });
  const said = new Set(await Promise.all(runs));
  // Where no VM can run for want of kernel or QEMU all are told so; none hangs, and none sees another's failure.
  assert.equal(said.size, 1, [...said].join());
  const pidFile = path.join(home, 'vivd.pid');
  if (!existsSync(pidFile)) return assert.deepEqual([...said], ['assets_missing']);
  assert.deepEqual([...said], ['listed']);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  process.kill(pid, 'SIGTERM');
  // The process, not its pid file: on its way out Node still writes its compile cache below the data directory.
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setImmediate(resolve));
});

test('nobody there is told with the socket and what to do', async () => {
  const home = path.join(dir, 'nobody');
  await using viv = connect({ home, autostart: false });
  await assert.rejects(
    viv.list(),
    (error) =>
      isVivError(error, 'daemon_unreachable') && /vivd\.sock/.test(error.message) && error.hint !== undefined,
  );
});

test('a daemon that accepts and breaks off is told as unreachable, not as an empty answer', async () => {
  const socket = path.join(dir, 'rude.sock');
  const rude = createServer((connection) => {
    connection.once('data', () => {
      connection.end('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n[]');
    });
  });
  rude.listen(socket);
  await once(rude, 'listening');
  await using viv = connect({ socket, autostart: false });
  await assert.rejects(viv.list(), (error) => isVivError(error, 'daemon_unreachable'));
  rude.close();
});
