import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FakeTerminal } from '../../test/fake-context.ts';
import { FakeVivarium, fakeImage, fakeInstance } from '../../test/fake-vivarium.ts';
import { complete } from './complete.ts';
import { completionScripts } from './scripts.ts';

const run = promisify(execFile);
const fakeMain = fileURLToPath(new URL('../../test/fake-main.ts', import.meta.url));
let dir = '';

before(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'viv-complete-'));
  // Without -- Node takes an --env-file behind the script's name for its own.
  writeFileSync(path.join(dir, 'viv'), `#!/bin/sh\nexec ${process.execPath} -- ${fakeMain} "$@"\n`);
  chmodSync(path.join(dir, 'viv'), 0o755);
  writeFileSync(path.join(dir, 'script'), completionScripts.bash);
  writeFileSync(path.join(dir, 'local-file'), '');
});
after(() => rmSync(dir, { recursive: true }));

/** What bash would offer for a command line with the cursor at its end. */
async function offered(line: string): Promise<string[]> {
  const words = line.split(/ |(:)/).filter((word) => word !== undefined);
  const program = `source ./script; COMP_LINE=$1; COMP_POINT=\${#1}; shift; COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1)); _viv; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run('bash', ['-c', program, 'bash', line, ...words], {
    cwd: dir,
    env: { ...process.env, PATH: `${dir}:${process.env.PATH}` },
  });
  return stdout.split('\n').filter((word) => word !== '');
}

test('the bash script is bash', async () => {
  await run('bash', ['-n', path.join(dir, 'script')]);
});

test('bash completes commands, and the commands of a family', async () => {
  assert.deepEqual(await offered('viv st'), ['start', 'stop', 'standby', 'stats', 'states']);
  assert.deepEqual(await offered('viv image i'), ['import', 'inspect']);
});

test('bash completes options and their words', async () => {
  assert.deepEqual(await offered('viv run --n'), ['--name', '--network']);
  assert.deepEqual(await offered('viv run --network '), ['user', 'none']);
  assert.deepEqual(await offered('viv run -it --name '), []);
});

test('bash completes names of VMs', async () => {
  assert.deepEqual(await offered('viv exec -it w'), ['web', 'worker']);
  assert.deepEqual(await offered('viv stop web wo'), ['worker']);
});

test('bash completes image references behind their colons', async () => {
  assert.deepEqual(await offered('viv run b'), ['busybox']);
  assert.deepEqual(await offered('viv run localhost:50'), ['5000/app:1', '5000/app:2']);
  assert.deepEqual(await offered('viv run localhost:5000/app:'), ['1', '2']);
});

test('bash completes files of this machine where a path stands', async () => {
  assert.deepEqual(await offered('viv cp lo'), ['local-file']);
  assert.deepEqual(await offered('viv cp w'), ['web:', 'worker:']);
  assert.deepEqual(await offered('viv run --env-file lo'), ['local-file']);
});

test('nothing of ours is offered once the guest command has begun', async () => {
  assert.deepEqual(await offered('viv run busybox --n'), []);
  assert.deepEqual(await offered('viv exec web -- ls w'), []);
});

test('words come with what they mean, for the shells that show it', async () => {
  const vivarium = new FakeVivarium().add(fakeInstance({ name: 'web' }));
  vivarium.imageList.push(fakeImage('busybox'));
  const { context } = new FakeTerminal({ vivarium });
  await using _closed = context;
  assert.equal(await complete(context, ['stop', '']), 'web\tRunning\n');
  assert.equal(await complete(context, ['ren']), 'rename\tGive a VM another name\n');
});
