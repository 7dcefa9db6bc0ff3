import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
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
