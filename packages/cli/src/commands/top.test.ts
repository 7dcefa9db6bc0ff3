import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTerminal, viv } from '../../test/fake-context.ts';
import { FakeVivarium } from '../../test/fake-vivarium.ts';
import { sortUsages, topKey } from '../render/top.ts';
import type { Usage } from '../render/usage.ts';

async function house(): Promise<FakeVivarium> {
  const vivarium = new FakeVivarium();
  for (const name of ['web', 'db']) await vivarium.run('busybox', { name });
  await vivarium.create({ image: 'busybox', name: 'off' });
  return vivarium;
}

test('one picture has the sums and the running VMs', async () => {
  const { status, stdout } = await viv(['top', '--once', '--sort', 'name'], { vivarium: await house() });
  assert.equal(status, 0);
  const [head, empty, titles, ...rows] = stdout.split('\n');
  assert.match(head ?? '', /^2 running · CPU .* · memory 2 ?MB · on the host .* · 0 under way$/);
  assert.equal(empty, '');
  assert.match(titles ?? '', /^NAME ▾ +CPU % /);
  assert.deepEqual(
    rows.map((row) => row.split(' ')[0]),
    ['db', 'web', ''],
  );
});

test('one picture for a program is one line', async () => {
  const { stdout } = await viv(['top', '--once', '--json'], { vivarium: await house() });
  const { vms } = JSON.parse(stdout);
  assert.deepEqual(vms.map(({ name }: { name: string }) => name).sort(), ['db', 'web']);
  assert.equal(vms[0].memory.usedBytes, 2 ** 20);
});

test('a column that is none is refused', async () => {
  assert.equal((await viv(['top', '--once', '--sort', 'odd'], { vivarium: await house() })).status, 2);
});

test('largest comes first, and the other way round when asked', () => {
  const usage = (name: string, usedBytes: number) =>
    ({ info: { name }, now: { memory: { usedBytes } } }) as Usage;
  const all = [usage('a', 1), usage('b', 3), usage('c', 3)];
  assert.deepEqual(
    sortUsages(all, 'mem', false).map(({ info }) => info.name),
    ['b', 'c', 'a'],
  );
  assert.deepEqual(
    sortUsages(all, 'mem', true).map(({ info }) => info.name),
    ['a', 'c', 'b'],
  );
  assert.deepEqual(
    [topKey('m', undefined), topKey('x', undefined), topKey('mem')],
    ['mem', undefined, 'mem'],
  );
});

test('a key that is pressed while a picture is printed changes the next one at once', async () => {
  const terminal = new FakeTerminal({ vivarium: await house(), columns: 120 });
  const keys = ['m', 'q'];
  // In the very moment of the picture: nobody waits for a key yet.
  for (const shown of ['CPU % ▾', 'MEM USED / TOTAL ▾'])
    void terminal.shows(shown).then(() => terminal.stdin.write(keys.shift()));
  const { status } = await terminal.run('top', '--interval', '1h');
  assert.equal(status, 0);
  assert.deepEqual(keys, []);
  assert.deepEqual(terminal.rawModes, [true, false]);
});
