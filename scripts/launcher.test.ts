import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';

/* `./viv` in a checkout of which only the parts it looks at are there, with a Node that prints its arguments. */

let root: string;

const file = (name: string): string => path.join(root, name);

async function script(name: string, text: string): Promise<void> {
  await mkdir(path.dirname(file(name)), { recursive: true });
  await writeFile(file(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
}

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'launcher '));
  await copyFile(path.resolve(import.meta.dirname, '../viv'), file('viv'));
  await script('.viv/node/bin/node', `printf '<%s>' "$@"; printf ' %s' "$VIV_ASSETS"`);
  await script('scripts/setup/setup.sh', `printf 'setup(%s) ' "$*"; : >"$(dirname "$0")/../../.viv/stamp"`);
  for (const dir of ['node_modules', 'packages/engine/src/setup', 'native/target', '.viv/assets']) {
    await mkdir(file(dir), { recursive: true });
  }
  for (const name of [
    'package-lock.json',
    'native/Cargo.toml',
    'native/target/new',
    '.viv/assets/assets.json',
  ]) {
    await writeFile(file(name), '');
  }
  await date(-60, 'package-lock.json', 'native/Cargo.toml', 'scripts/setup/setup.sh');
  await writeFile(file('.viv/stamp'), '');
  await date(-30, '.viv/stamp');
});
afterEach(() => rm(root, { recursive: true }));

async function date(seconds: number, ...names: string[]): Promise<void> {
  const time = Date.now() / 1000 + seconds;
  for (const name of names) await utimes(file(name), time, time);
}

function viv(args: string[], from = file('viv'), env: NodeJS.ProcessEnv = {}): string {
  const { stdout, stderr } = spawnSync(from, args, {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
    cwd: root,
  });
  return stdout.replaceAll(root, 'ROOT') + stderr;
}

const cli = (args: string): string =>
  `<--min-semi-space-size=8><--disable-warning=ExperimentalWarning><--><ROOT/packages/cli/src/main.ts>${args} ROOT/.viv/assets`;

test('with nothing to do the CLI gets the arguments as they are, even from a directory with a space', () => {
  assert.equal(viv(['run', 'a b', '', '*']), cli('<run><a b><><*>'));
});

test('it is found through a symbolic link and a relative path', async () => {
  await symlink('viv', file('link'));
  assert.equal(viv(['ps'], file('link')), cli('<ps>'));
  assert.equal(viv(['ps'], './viv'), cli('<ps>'));
});

test('a source that is newer than the last set-up, or a missing result, sets up first', async () => {
  await date(-10, 'native/Cargo.toml');
  assert.equal(viv(['ps']), `setup() ${cli('<ps>')}`);
  assert.equal(viv(['ps']), cli('<ps>'), 'once is enough');
  await rm(file('.viv/assets/assets.json'));
  assert.equal(viv(['ps']), `setup() ${cli('<ps>')}`);
  assert.equal(viv(['ps'], undefined, { VIV_SKIP_SETUP: '1' }), cli('<ps>'));
});

test('set-up can be asked for, with its options, and then is all that is done', () => {
  assert.equal(viv(['setup', '--tests']), 'setup(--tests) ');
});

test('when set-up fails its status is the launcher’s, and the CLI is not started', async () => {
  await script('scripts/setup/setup.sh', 'exit 69');
  const options = { encoding: 'utf8', cwd: root, env: { PATH: process.env.PATH } } as const;
  const { status, stdout } = spawnSync(file('viv'), ['ps'], options);
  assert.deepEqual([status, stdout], [69, '']);
});

test('VIV_ASSETS of the environment is kept', async () => {
  const elsewhere = file('elsewhere');
  await mkdir(elsewhere);
  await writeFile(path.join(elsewhere, 'assets.json'), '');
  assert.match(viv(['ps'], undefined, { VIV_ASSETS: elsewhere }), /<ps> ROOT\/elsewhere$/);
});

test('with nothing to do it costs under 100 ms beyond the CLI', () => {
  viv(['ps']);
  const times = Array.from({ length: 5 }, () => {
    const startedAt = performance.now();
    viv(['ps']);
    return performance.now() - startedAt;
  });
  assert(Math.min(...times) < 100, `${times} ms`);
});
