import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTerminal, viv } from '../../../test/fake-context.ts';
import { FakeVivarium } from '../../../test/fake-vivarium.ts';
import { complete } from '../../completion/complete.ts';

test('templates are warmed once, listed with what they are of, and removed', async () => {
  const vivarium = new FakeVivarium();
  const warmed = (await viv(['template', 'warm', 'busybox', '--cpus', '2', '-m', '1GB'], { vivarium }))
    .stdout;
  assert.match(warmed, /^[0-9a-f]{16}\n[0-9a-f]{16}\n$/);
  assert.equal((await viv(['template', 'warm', '--cpus', '2', '-m', '1GB'], { vivarium })).status, 0);
  const table = (await viv(['template', 'ls'], { vivarium })).stdout.split('\n');
  assert.match(table[0] ?? '', /^ID +LEVEL +IMAGE +CPUS +MEMORY +SIZE +CREATED +USED$/);
  assert.match(table[1] ?? '', /^[0-9a-f]{16} +image +busybox +2 +1GB +1MB /);
  assert.match(table[2] ?? '', /^[0-9a-f]{16} +kernel +2 +1GB +1MB /);
  assert.equal(table.length, 4);
  const { context } = new FakeTerminal({ vivarium });
  await using _closed = context;
  const [id = ''] = warmed.split('\n');
  assert.match(await complete(context, ['template', 'rm', '']), new RegExp(`^${id}\tkernel$`, 'm'));
  assert.equal((await viv(['template', 'rm', id], { vivarium })).stdout, `${id} (1MB freed)\n`);
  const { stdout } = await viv(['template', 'rm', '--all', '--json'], { vivarium });
  assert.deepEqual(JSON.parse(stdout), { freedBytes: 2 ** 20 });
  assert.equal((await viv(['template', 'ls', '--json'], { vivarium })).stdout, '[]\n');
});

test('rm wants to know which, and not both ids and all', async () => {
  const vivarium = new FakeVivarium();
  assert.equal((await viv(['template', 'rm'], { vivarium })).status, 2);
  assert.equal((await viv(['template', 'rm', '--all', 'x'], { vivarium })).status, 2);
  assert.equal((await viv(['template', 'rm', 'nosuch'], { vivarium })).status, 4);
});
