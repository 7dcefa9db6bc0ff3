import assert from 'node:assert/strict';
import { test } from 'node:test';
import { output, run, SetupError, succeeds } from './command.ts';

test('a program that is not installed is named, with the status of something the person has to provide', async () => {
  await assert.rejects(run(['no-such-program', 'x']), (error: unknown) => {
    assert(error instanceof SetupError);
    assert.match(error.message, /no-such-program is not installed/);
    assert.equal(error.exitStatus, 69);
    return true;
  });
});

test('a program that fails is told with its status and last words', async () => {
  await assert.rejects(run(['sh', '-c', 'echo why >&2; exit 3']), /sh ended with status 3: why/);
  await assert.rejects(run(['sh', '-c', 'kill -9 $$']), /sh was ended by SIGKILL/);
  assert.equal(await succeeds(['false']), false);
});

test('input goes in, also where the program does not read it', async () => {
  assert.equal((await run(['cat'], { input: Buffer.from('in') })).toString(), 'in');
  assert.equal(await output(['true'], { input: Buffer.alloc(1_000_000) }), '');
});

test('the log has the command, what it printed and its errors', async () => {
  let log = '';
  await run(['sh', '-c', 'echo out; echo err >&2'], { log: (chunk) => (log += chunk.toString()) });
  assert.match(log, /^\+ sh -c/);
  assert.match(log, /^out$/m);
  assert.match(log, /^err$/m);
});
