import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTerminal, viv } from '../../../test/fake-context.ts';
import { FakeVivarium } from '../../../test/fake-vivarium.ts';
import { complete } from '../../completion/complete.ts';
import { formatHealth } from '../../render/pools.ts';

const create = (name: string, ...more: string[]) => ['pool', 'create', name, '--image', 'busybox', ...more];

test('a pool is made with what its VMs are to be, listed and inspected', async () => {
  const vivarium = new FakeVivarium();
  const line = create('jobs', '--size', '3', '--stage', 'suspended', '-m', '1GB', '--', 'sleep', '-9');
  assert.deepEqual(await viv(line, { vivarium }), { status: 0, stdout: 'jobs\n', stderr: '' });
  const { image, cmd, memory } = vivarium.created[0] ?? {};
  assert.deepEqual([image, cmd, memory], ['busybox', ['sleep', '-9'], 2 ** 30]);
  const table = (await viv(['pool', 'ls'], { vivarium })).stdout.split('\n');
  assert.match(table[0] ?? '', /^POOL +IMAGE +STAGE +READY +CREATING +ACQUIRED +HEALTH +CREATED$/);
  assert.match(table[1] ?? '', /^jobs +busybox +suspended +3\/3 +0 +0 +full /);
  assert.equal(JSON.parse((await viv(['pool', 'inspect', 'jobs'], { vivarium })).stdout).size, 3);
  assert.equal((await viv(['pool', 'ls', '-q'], { vivarium })).stdout, 'jobs\n');
  assert.equal((await viv(line, { vivarium })).status, 5);
});

test('a wrong stage, a size of none and a missing image are refused', async () => {
  for (const line of [
    create('x', '--stage', 'asleep'),
    create('x', '--size', '0'),
    ['pool', 'create', 'x'],
  ]) {
    const { status, stderr } = await viv(line, { vivarium: new FakeVivarium() });
    assert.equal(status, 2, stderr);
  }
});

test('a VM is acquired running, replaced, and deleted when it is released', async () => {
  const vivarium = new FakeVivarium();
  await viv(create('shells', '--stage', 'stopped'), { vivarium });
  const taken = (await viv(['pool', 'acquire', 'shells'], { vivarium })).stdout.trim();
  assert.equal(vivarium.instances.get(taken)?.state, 'Running');
  const another = JSON.parse((await viv(['pool', 'acquire', '--json', 'shells'], { vivarium })).stdout);
  assert.deepEqual([another.pool, another.name === taken], ['shells', false]);
  assert.match((await viv(['pool', 'ls'], { vivarium })).stdout, /0\/2 +0 +2 +full/);
  const id = vivarium.instances.get(taken)?.id;
  const outcome = await viv(['pool', 'release', 'shells', taken, 'nosuch'], { vivarium });
  assert.deepEqual([outcome.status, outcome.stdout], [4, `${taken}\n`]);
  assert.ok(id && ![...vivarium.instances.values()].some((info) => info.id === id));
});

test('events are told from the first on, and end with the pool', async () => {
  const vivarium = new FakeVivarium();
  await viv(create('shells', '--size', '1'), { vivarium });
  const terminal = new FakeTerminal({ vivarium });
  const followed = terminal.run('pool', 'events', '--since', '0', 'shells');
  await terminal.shows('#3');
  await viv(['pool', 'rm', 'shells'], { vivarium });
  const lines = (await followed).stdout.trim().split('\n');
  assert.match(lines[1] ?? '', /^2026-01-02T03:04:05.000Z {2}#2 {2}shells {2}ready {2}instanceId=x0+1$/);
  assert.deepEqual(
    lines.map((line) => line.split('  ')[3]),
    ['created', 'ready', 'full', 'closing', 'closed'],
  );
  assert.equal(vivarium.instances.size, 0);
});

test('rm leaves alone what is in use where that is asked for', async () => {
  const vivarium = new FakeVivarium();
  await viv(create('shells'), { vivarium });
  const taken = (await viv(['pool', 'acquire', 'shells'], { vivarium })).stdout.trim();
  await viv(['pool', 'rm', '--keep-acquired', 'shells'], { vivarium });
  assert.deepEqual([...vivarium.instances.keys()], [taken]);
  assert.equal((await viv(['pool', 'inspect', 'shells'], { vivarium })).status, 4);
});

test('a pool that fails says why and when it tries again', () => {
  const at = '2026-01-02T03:04:05.000Z';
  const info = {
    name: 'x',
    image: 'busybox',
    size: 2,
    stage: 'running' as const,
    ready: 0,
    creating: 0,
    acquired: 0,
    health: 'failing' as const,
    createdAt: at,
  };
  const lastError = { code: 'boot_failed', message: 'no kernel', at, attempts: 2 };
  assert.equal(formatHealth(info, 0), 'failing');
  assert.equal(formatHealth({ ...info, lastError }, 0), 'failing: no kernel');
  const retryAt = '2026-01-02T03:04:09.500Z';
  const later = formatHealth({ ...info, lastError: { ...lastError, retryAt } }, Date.parse(at));
  assert.equal(later, 'failing: no kernel (again in 5s)');
});

test('shells are offered pools, and the stages of one', async () => {
  const vivarium = new FakeVivarium();
  await viv(create('shells'), { vivarium });
  const { context } = new FakeTerminal({ vivarium });
  await using _closed = context;
  assert.equal(await complete(context, ['pool', 'acquire', '']), 'shells\tfull\n');
  assert.equal(await complete(context, ['pool', 'create', '--stage', 's']), 'suspended\nstopped\n');
});
