import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTerminal } from '../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../test/fake-vivarium.ts';

function terminal(): { viv: FakeVivarium; run: (...words: string[]) => ReturnType<FakeTerminal['run']> } {
  const viv = new FakeVivarium()
    .add(fakeInstance({ name: 'web', state: 'Stopped' }))
    .add(fakeInstance({ name: 'db', state: 'Stopped' }));
  return { viv, run: (...words) => new FakeTerminal({ vivarium: viv }).run(...words) };
}

test('an update changes what is named of each VM, and says what waits for the next start', async () => {
  const { viv, run } = terminal();
  const words = [
    '--restart',
    'on-failure:3',
    '--ttl',
    '2h',
    '-e',
    'A=1',
    '--unset-env',
    'B',
    '--no-autostart',
  ];
  const { status, stdout, stderr } = await run('update', 'web', 'db', ...words);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'web\ndb\n');
  assert.match(stderr, /web: env in effect from the next start on/);
  const told = viv.calls.find((call) => call.startsWith('update web'));
  assert.deepEqual(JSON.parse(told?.slice('update web '.length) ?? ''), {
    restartPolicy: { policy: 'on_failure', maxAttempts: 3 },
    ttlMs: 7_200_000,
    autostart: null,
    env: { A: '1', B: null },
  });
});

test('an update of nothing is refused', async () => {
  const { run } = terminal();
  const { status, stderr } = await run('update', 'web');
  assert.equal(status, 2);
  assert.match(stderr, /Nothing to change/);
});

test('a start takes a command behind --, for all the names before it', async () => {
  const { viv, run } = terminal();
  const { status, stderr } = await run('start', 'web', 'db', '--entrypoint', 'sh', '--', '-c', 'echo hi');
  assert.equal(status, 0, stderr);
  const override = JSON.stringify({ entrypoint: ['sh'], cmd: ['-c', 'echo hi'] });
  assert.deepEqual(
    viv.calls.filter((call) => call.startsWith('start')),
    [`start ${override} web`, `start ${override} db`],
  );
});

test('a wait for health is no wait for a state', async () => {
  const { viv, run } = terminal();
  const { stdout } = await run('wait', 'web', '--healthy');
  assert.equal(stdout, 'healthy\n');
  assert.ok(viv.calls.includes('wait healthy'));
  assert.equal((await run('wait', 'web', '--healthy', '--for', 'running')).status, 2);
});

test('ps shows what is about to be started again and what was given up, and not what is simply stopped', async () => {
  const { viv, run } = terminal();
  const exit = { reason: 'exited' as const, code: 1, message: '', at: new Date().toISOString() };
  const stopped = { state: 'Stopped' as const, exit };
  viv.add(fakeInstance({ name: 'due', ...stopped, restart: { attempts: 0, nextAttemptAt: exit.at } }));
  const gaveUp = { attempts: 3, blockedReason: 'max_attempts_exceeded' as const };
  viv.add(fakeInstance({ name: 'given-up', ...stopped, restart: gaveUp }));
  viv.add(fakeInstance({ name: 'held', ...stopped, restart: { attempts: 0, blockedReason: 'manual_stop' } }));
  assert.equal((await run('ps', '-q')).stdout, 'due\ngiven-up\n');
  assert.match((await run('ps')).stdout, /gave up after 3 restarts/);
});
