import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viv } from '../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../test/fake-vivarium.ts';

const home = () =>
  new FakeVivarium().add(
    fakeInstance({ name: 'web', tags: { team: 'a' } }),
    fakeInstance({ name: 'old', state: 'Stopped' }),
  );

test('fork prints the names of the copies, which are as the source is', async () => {
  const vivarium = home();
  const one = await viv(['fork', 'web'], { vivarium });
  assert.deepEqual(one, { status: 0, stdout: 'quiet-otter-1\n', stderr: '' });
  const copy = vivarium.instances.get('quiet-otter-1');
  assert.deepEqual([copy?.state, copy?.tags], ['Running', { team: 'a' }]);
  const more = await viv(['fork', 'web', '-n', '3', '--name', 'w-%d', '--suspended', '-l', 'x=y', '--rm'], {
    vivarium,
  });
  assert.equal(more.stdout, 'w-1\nw-2\nw-3\n');
  const last = vivarium.instances.get('w-3');
  assert.deepEqual([last?.state, last?.tags, last?.autoRemove], ['Suspended', { x: 'y' }, true]);
});

test('fork --json prints each copy on a line of its own', async () => {
  const { stdout } = await viv(['fork', 'web', '--json', '--count', '2'], { vivarium: home() });
  const copies = stdout.trim().split('\n');
  assert.deepEqual(
    copies.map((line) => JSON.parse(line).forkedFrom.instanceId),
    ['webxxxxxxxxxxxxxxxxxxxxx', 'webxxxxxxxxxxxxxxxxxxxxx'],
  );
});

test('a copy in two states, no copy, or several of one name are refused', async () => {
  const vivarium = home();
  const both = await viv(['fork', 'web', '--stopped', '--running'], { vivarium });
  assert.deepEqual([both.status, both.stderr], [2, 'viv: A copy can not be both --running and --stopped.\n']);
  assert.equal((await viv(['fork', 'web', '--count', '0'], { vivarium })).status, 2);
  assert.equal((await viv(['fork', 'web', '--count', '2', '--name', 'w'], { vivarium })).status, 2);
  assert.equal((await viv(['fork', 'old', '--paused'], { vivarium })).status, 5);
  assert.equal(vivarium.instances.size, 2);
});

test('a guest that can not be told who it is is copied only where that was asked for', async () => {
  const vivarium = home();
  vivarium.deaf.add('web');
  const refused = await viv(['fork', 'web'], { vivarium });
  assert.equal(refused.status, 5);
  assert.match(refused.stderr, /hint: .*--unsafe-identity/);
  assert.equal((await viv(['fork', 'web', '--unsafe-identity'], { vivarium })).status, 0);
});
