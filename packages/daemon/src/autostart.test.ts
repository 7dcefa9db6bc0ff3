import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connect } from '@vivarium/client';
import { isVivError } from '@vivarium/model';

let dir: string;
before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'vivd-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

test('a daemon that dies at once is shown with its last words', async () => {
  const home = path.join(dir, 'dies');
  const broken = path.join(dir, 'broken.mjs');
  writeFileSync(broken, "console.error('no such luck'); process.exit(3);");
  const env = { ...process.env, NODE_OPTIONS: `--import=${broken}` };
  await using viv = connect({ home, env });
  await assert.rejects(
    viv.list(),
    (error) => isVivError(error, 'daemon_unreachable') && /status 3[\s\S]*no such luck/.test(error.message),
  );
});

test('a directory that something else than a daemon owns is told with its owner', async () => {
  const home = path.join(dir, 'owned');
  mkdirSync(home);
  const { openEngine } = await import('@vivarium/engine');
  await using _ = await openEngine({ home, driver: 'simulated', program: 'embedder' });
  await using viv = connect({ home });
  await assert.rejects(
    viv.list(),
    (error) => isVivError(error, 'data_dir_locked') && /embedder/.test(error.message),
  );
});

test('a data directory too deep for a socket is refused before anything is started', () => {
  assert.throws(
    () => connect({ home: path.join(dir, 'x'.repeat(120)) }),
    (error) => isVivError(error, 'invalid_request'),
  );
});

test('a daemon that is started is given the arguments that were asked for', async () => {
  const home = path.join(dir, 'listens');
  const daemonArguments = ['--driver', 'simulated', '--listen', '127.0.0.1:0'];
  await using viv = connect({ home, daemonArguments });
  await viv.list();
  const pid = Number(readFileSync(path.join(home, 'vivd.pid'), 'utf8'));
  try {
    const ready = readFileSync(path.join(home, 'vivd.log'), 'utf8')
      .split('\n')
      .find((line) => line.includes('"ready"'));
    const { url, driver } = JSON.parse(ready ?? '{}') as { url?: string; driver?: string };
    assert.equal(driver, 'simulated');
    assert.equal((await fetch(`${url}/instances`)).status, 401);
  } finally {
    process.kill(pid, 'SIGTERM');
    while (existsSync(`/proc/${pid}`)) await setTimeout(10);
  }
});
