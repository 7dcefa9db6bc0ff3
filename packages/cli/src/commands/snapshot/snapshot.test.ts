import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTerminal, viv, vivEach } from '../../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../../test/fake-vivarium.ts';
import { complete } from '../../completion/complete.ts';

const home = () =>
  new FakeVivarium().add(fakeInstance({ name: 'web' }), fakeInstance({ name: 'old', state: 'Stopped' }));

test('snapshots are numbered, named, listed and inspected', async () => {
  const vivarium = home();
  assert.equal(await vivEach(vivarium, ['snapshot', 'create', 'web']), 'snap1\n');
  assert.equal(await vivEach(vivarium, ['snapshot', 'create', 'web']), 'snap2\n');
  assert.equal(await vivEach(vivarium, ['snapshot', 'create', 'old', 'b-%d', '--expires', '2d']), 'b-1\n');
  assert.equal(await vivEach(vivarium, ['snapshot', 'ls', '-q', 'web']), 'snap1\nsnap2\n');
  const table = (await vivEach(vivarium, ['snapshot', 'ls'])).split('\n');
  assert.match(table[0] ?? '', /^VM +SNAPSHOT +ID +STATE +IMAGE +SIZE +CREATED +EXPIRES$/);
  assert.match(table[1] ?? '', /^web +snap1 +x0+ +running +busybox +1MB +\d+s ago$/);
  assert.match(table[3] ?? '', /^old +b-1 .* stopped .* in 1d$/);
  assert.equal(JSON.parse(await vivEach(vivarium, ['snapshot', 'ls', '--json'])).length, 3);
  assert.equal(JSON.parse(await vivEach(vivarium, ['snapshot', 'inspect', 'web', 'snap2'])).name, 'snap2');
  const fields = await vivEach(vivarium, [
    'snapshot',
    'inspect',
    '-f',
    '{{.hasMemory}}',
    'web',
    'snap1',
    'snap2',
  ]);
  assert.equal(fields, 'true\ntrue\n');
});

test('a tree shows what came after what, and where the VM stands after a restore', async () => {
  const vivarium = home();
  await vivEach(
    vivarium,
    ['snapshot', 'create', 'web', 'base'],
    ['snapshot', 'create', 'web', 'one'],
    ['stop', 'web'],
  );
  assert.equal((await viv(['snapshot', 'restore', 'web', 'nosuch'], { vivarium })).status, 4);
  await vivEach(
    vivarium,
    ['snapshot', 'restore', '--start', 'web', 'base'],
    ['snapshot', 'create', 'web', 'two'],
  );
  assert.equal(
    (await vivEach(vivarium, ['snapshot', 'tree', 'web'])).replaceAll(/\d+s ago/g, '0s ago'),
    [
      'web (Running)',
      '└─ base (running, 0s ago)',
      '   ├─ one (running, 0s ago)',
      '   └─ two (running, 0s ago) ◀ now',
      '',
    ].join('\n'),
  );
  const json = JSON.parse(await vivEach(vivarium, ['snapshot', 'tree', '--json', 'web']));
  assert.deepEqual([json.snapshots.length, json.snapshotId === json.snapshots[2].id], [3, true]);
});

test('a restore leaves the VM as the snapshot holds it, and is refused while it runs', async () => {
  const vivarium = home();
  await vivEach(vivarium, ['snapshot', 'create', 'web']);
  const refused = await viv(['snapshot', 'restore', 'web', 'snap1'], { vivarium });
  assert.deepEqual([refused.status, refused.stderr], [5, 'viv: web is Running.\nhint: Stop it first.\n']);
  await vivEach(vivarium, ['stop', 'web']);
  const { state } = JSON.parse(await vivEach(vivarium, ['snapshot', 'restore', '--json', 'web', 'snap1']));
  assert.equal(state, 'Suspended');
});

test('snapshots of a VM that is gone are found by its name, copied and removed', async () => {
  const vivarium = home();
  await vivEach(vivarium, ['snapshot', 'create', 'web'], ['snapshot', 'create', 'web'], ['rm', '-f', 'web']);
  assert.equal(await vivEach(vivarium, ['snapshot', 'ls', '-q', 'web']), 'snap1\nsnap2\n');
  assert.match(await vivEach(vivarium, ['snapshot', 'tree', 'web']), /^web \(Deleted\)\n/);
  assert.equal(await vivEach(vivarium, ['snapshot', 'fork', 'web', 'snap1', '--name', 'again']), 'again\n');
  assert.ok(vivarium.instances.get('again')?.forkedFrom?.snapshotId);
  const outcome = await viv(['snapshot', 'rm', 'web', 'snap1', 'nosuch', 'snap2'], { vivarium });
  assert.deepEqual([outcome.status, outcome.stdout], [4, 'snap1\nsnap2\n']);
  assert.equal((await viv(['snapshot', 'ls', 'web'], { vivarium })).status, 4);
});

test('a name that several deleted VMs had is not guessed at', async () => {
  const vivarium = home();
  await vivEach(vivarium, ['snapshot', 'create', 'web'], ['rm', '-f', 'web']);
  vivarium.add(fakeInstance({ name: 'web', id: 'second' }));
  await vivEach(vivarium, ['snapshot', 'create', 'web'], ['rm', '-f', 'web']);
  const { status, stderr } = await viv(['snapshot', 'ls', 'web'], { vivarium });
  assert.equal(status, 5);
  assert.match(stderr, /hint: Use an id: webx+, second\./);
  assert.equal(await vivEach(vivarium, ['snapshot', 'ls', '-q', 'second']), 'snap1\n');
});

test('shells are offered the snapshots of the VM that was named', async () => {
  const vivarium = home();
  await vivEach(vivarium, ['snapshot', 'create', 'web', 'base']);
  const { context } = new FakeTerminal({ vivarium });
  await using _closed = context;
  assert.equal(await complete(context, ['snapshot', 'restore', 'we']), 'web\tRunning\n');
  assert.equal(await complete(context, ['snapshot', 'rm', 'web', '']), 'base\trunning\n');
  assert.equal(await complete(context, ['snapshot', 'rm', 'nosuch', '']), '');
});

test('a schedule is set, shown and removed', async () => {
  const vivarium = home();
  const set = ['snapshot', 'schedule', 'set', 'web', '--every', '1h', '--keep', '24', '--keep-for', '7d'];
  assert.match(await vivEach(vivarium, set), /^every 1h, kept: 24 of them, for 7d\nnext in .*\nnone yet\n$/);
  const shown = JSON.parse(await vivEach(vivarium, ['snapshot', 'schedule', 'show', 'web', '--json']));
  assert.deepEqual([shown.intervalMs, shown.retention.maxAgeMs], [3_600_000, 604_800_000]);
  assert.equal(await vivEach(vivarium, ['snapshot', 'schedule', 'rm', 'web']), '');
  assert.equal((await viv(['snapshot', 'schedule', 'show', 'web'], { vivarium })).status, 4);
  for (const wrong of [
    ['set', 'web'],
    ['set', 'web', '--every', '1h'],
    ['list', 'web'],
  ]) {
    assert.equal((await viv(['snapshot', 'schedule', ...wrong], { vivarium })).status, 2, wrong.join(' '));
  }
});
