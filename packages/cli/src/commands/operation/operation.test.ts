import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viv } from '../../../test/fake-context.ts';
import { FakeVivarium } from '../../../test/fake-vivarium.ts';

const json = async (line: string[], vivarium: FakeVivarium) =>
  JSON.parse((await viv(line, { vivarium })).stdout);

test('an action with --async prints its operation, by which it is listed and inspected', async () => {
  const vivarium = new FakeVivarium();
  await vivarium.create({ image: 'busybox', name: 'web' });
  const started = await viv(['start', '--async', 'web'], { vivarium });
  assert.deepEqual(started, { status: 0, stdout: 'op1\n', stderr: '' });
  const table = (await viv(['operation', 'ls'], { vivarium })).stdout.split('\n');
  assert.match(table[0] ?? '', /^ID +ACTION +ON +STATE +TOOK +BEGUN +PART OF +DETAIL$/);
  assert.match(table[1] ?? '', /^op1 +start +web +running /);
  assert.equal((await viv(['operation', 'ls', '-q'], { vivarium })).stdout, 'op1\n');
  assert.equal((await json(['start', '--async', '--json', 'web'], vivarium)).id, 'op2');
  assert.equal((await json(['operation', 'inspect', 'op1'], vivarium)).action, 'start');
  assert.equal((await json(['operation', 'inspect', 'op1', 'op2'], vivarium)).length, 2);
  const filled = await viv(['operation', 'inspect', '-f', '{{.state}}', 'op1'], { vivarium });
  assert.equal(filled.stdout, 'running\n');
});

test('a listing asks for what it was told, and refuses a state that is none', async () => {
  const vivarium = new FakeVivarium();
  vivarium.operations.add('start');
  vivarium.operations.add('pull', { state: 'done' });
  const line = ['operation', 'ls', '--state', 'running', '--state', 'pending', '--instance', 'web', '--json'];
  assert.deepEqual((await json(line, vivarium))[0].action, 'start');
  assert.deepEqual(vivarium.operations.asked[0], {
    instance: 'web',
    states: ['running', 'pending'],
    actions: undefined,
    limit: 20,
  });
  assert.equal((await viv(['operation', 'ls', '-n', '1', '-q'], { vivarium })).stdout, 'op2\n');
  assert.equal((await viv(['operation', 'ls', '--state', 'odd'], { vivarium })).status, 2);
});

test('a wait ends as the action would have, and a cancel says how it ended', async () => {
  const vivarium = new FakeVivarium();
  vivarium.operations.add('pull', { state: 'done' });
  vivarium.operations.add('start', { state: 'undone', error: { code: 'boot_failed', message: 'no kernel' } });
  vivarium.operations.add('stop');
  const done = await viv(['operation', 'wait', 'op1'], { vivarium });
  assert.deepEqual([done.status, done.stdout], [0, 'op1  pull  done\n']);
  const failed = await viv(['operation', 'wait', 'op2'], { vivarium });
  assert.deepEqual([failed.status, failed.stdout], [70, '']);
  assert.match(failed.stderr, /no kernel/);
  assert.equal((await viv(['operation', 'wait', '--timeout', '1', 'op3'], { vivarium })).status, 75);
  const cancelled = await viv(['operation', 'cancel', 'op3', 'op1', 'absent'], { vivarium });
  assert.deepEqual([cancelled.status, cancelled.stdout], [4, 'op3  stop  cancelled\nop1  pull  done\n']);
});
