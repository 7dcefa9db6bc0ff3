import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivError } from '@vivarium/model';
import { FakeTerminal, viv } from '../test/fake-context.ts';
import { FakeVivarium, fakeImage, fakeInstance } from '../test/fake-vivarium.ts';
import { commands } from './commands.ts';

const home = () =>
  new FakeVivarium().add(
    fakeInstance({ name: 'web', tags: { team: 'a' } }),
    fakeInstance({ name: 'old', state: 'Stopped', tags: { team: 'b' } }),
    fakeInstance({ name: 'bad', state: 'Error' }),
  );

test('every command has a help page with its usage and an example', async () => {
  for (const { name, summary } of commands) {
    const { status, stdout } = await viv([...name.split(' '), '--help']);
    assert.equal(status, 0, name);
    assert.ok(stdout.startsWith(`Usage: viv ${name} `), name);
    assert.ok(stdout.includes(summary) && stdout.includes('Examples:'), name);
  }
});

test('an unknown command is answered with the nearest one', async () => {
  const outcome = await viv(['strat', 'web']);
  assert.deepEqual(outcome, {
    status: 2,
    stdout: '',
    stderr: 'viv: "strat" is not a viv command.\nhint: Did you mean `viv start`?\n',
  });
  assert.match((await viv(['image', 'lss'])).stderr, /Did you mean `viv image ls`/);
});

test('a wrong option is answered with the nearest one and the help page', async () => {
  const { status, stderr } = await viv(['ps', '--jsn']);
  assert.equal(status, 2);
  assert.match(
    stderr,
    /^viv: unknown option '--jsn' \(Did you mean --json\?\)\nhint: See `viv ps --help`\.\n$/,
  );
});

test('a missing and a superfluous argument are refused', async () => {
  assert.equal((await viv(['start'])).status, 2);
  assert.equal((await viv(['rename', 'a', 'b', 'c'])).status, 2);
});

test('no command line without a command starts the daemon', async () => {
  const vivarium = new FakeVivarium();
  for (const argv of [[], ['--help'], ['--version'], ['help', 'run'], ['states'], ['completion', 'bash']]) {
    assert.equal((await viv(argv, { vivarium })).status, 0);
  }
  assert.deepEqual(vivarium.calls, []);
});

test('ps shows what is up or broken, ls everything', async () => {
  const lines = async (...argv: string[]) => (await viv(argv, { vivarium: home() })).stdout;
  assert.equal(await lines('ps', '-q'), 'web\nbad\n');
  assert.equal(await lines('ps', '-aq'), 'web\nold\nbad\n');
  assert.equal(await lines('ls', '-q'), 'web\nold\nbad\n');
  assert.equal(await lines('ps', '-q', '--filter', 'state=stopped'), 'old\n');
  assert.equal(await lines('ls', '-q', '-f', 'tag=team=a'), 'web\n');
  assert.equal(await lines('ls', '-q', '-f', 'tag=team'), 'web\nold\n');
  assert.equal(await lines('ls', '-q', '-f', 'name=a'), 'bad\n');
});

test('ps --json prints the model, and a table otherwise', async () => {
  const { stdout } = await viv(['ps', '--json'], { vivarium: home() });
  assert.deepEqual(
    JSON.parse(stdout).map(({ name }: { name: string }) => name),
    ['web', 'bad'],
  );
  const table = (await viv(['ps'], { vivarium: home() })).stdout.split('\n');
  assert.match(table[0] ?? '', /^NAME +IMAGE +STATUS +CREATED +PORTS +COMMAND$/);
  assert.match(table[1] ?? '', /^web +busybox +Running /);
});

test('an unknown state or filter is refused', async () => {
  assert.equal((await viv(['ps', '-f', 'state=sleeping'])).status, 2);
  assert.equal((await viv(['ps', '-f', 'colour=red'])).status, 2);
});

test('of several VMs each is reported, and the first failure gives the status', async () => {
  const vivarium = home();
  const outcome = await viv(['stop', 'web', 'nosuch', 'old'], { vivarium });
  assert.deepEqual(outcome, {
    status: 4,
    stdout: 'web\nold\n',
    stderr: 'viv: nosuch: No VM is named "nosuch".\nhint: See `viv ls`.\n',
  });
  assert.deepEqual(vivarium.calls, ['stop web', 'stop old', 'closed']);
});

test('an action with --json says what changed', async () => {
  const { stdout } = await viv(['start', '--json', 'web'], { vivarium: home() });
  assert.deepEqual(JSON.parse(stdout), {
    id: 'webxxxxxxxxxxxxxxxxxxxxx',
    name: 'web',
    changed: false,
    state: 'Running',
  });
});

test('suspended VMs are shown by ps, go on or start cold, and are discarded', async () => {
  const vivarium = home();
  const suspended = await viv(['suspend', 'web'], { vivarium });
  assert.deepEqual(suspended, { status: 0, stdout: 'web\n', stderr: '' });
  assert.match((await viv(['ps'], { vivarium })).stdout, /^web +busybox +Suspended \d+d /m);
  await viv(['start', 'web'], { vivarium });
  assert.doesNotMatch((await viv(['ps'], { vivarium })).stdout, /Suspended/);
  await viv(['suspend', 'web'], { vivarium });
  await viv(['start', '--cold', 'web'], { vivarium });
  assert.equal((await viv(['suspend', 'web', 'old'], { vivarium })).status, 5);
  const { stdout } = await viv(['discard', '--json', 'web'], { vivarium });
  assert.deepEqual([JSON.parse(stdout).changed, JSON.parse(stdout).state], [true, 'Stopped']);
  assert.deepEqual(
    vivarium.calls.filter((call) => call !== 'closed'),
    ['suspend web', 'start web', 'suspend web', 'start --cold web', 'suspend web', 'discard web'],
  );
});

test('rm refuses what runs; rm -f does not, nor is it troubled by what is not there', async () => {
  const vivarium = home();
  const refused = await viv(['rm', 'web'], { vivarium });
  assert.deepEqual([refused.status, refused.stderr], [5, 'viv: web is Running.\nhint: Use -f.\n']);
  const forced = await viv(['rm', '-f', 'web', 'nosuch'], { vivarium });
  assert.deepEqual([forced.status, forced.stdout], [0, 'web\n']);
  assert.equal(vivarium.instances.has('web'), false);
});

test('stop takes its timeout in seconds', async () => {
  const vivarium = home();
  await viv(['stop', '-t', '2', 'web'], { vivarium });
  assert.equal(vivarium.calls[0], 'stop2000 web');
});

test('inspect prints an object for one name, an array for several, a template where asked', async () => {
  const one = await viv(['inspect', 'web'], { vivarium: home() });
  assert.equal(JSON.parse(one.stdout).name, 'web');
  const two = await viv(['inspect', 'web', 'old'], { vivarium: home() });
  assert.equal(JSON.parse(two.stdout).length, 2);
  const field = await viv(['inspect', '-f', '{{.state}}', 'web', 'nosuch'], { vivarium: home() });
  assert.deepEqual([field.status, field.stdout], [4, 'Running\n']);
});

test('wait prints the exit code', async () => {
  const exit = { reason: 'exited' as const, code: 3, message: '', at: '' };
  const vivarium = new FakeVivarium().add(fakeInstance({ name: 'job', exit }));
  assert.equal((await viv(['wait', 'job'], { vivarium })).stdout, '3\n');
});

test('logs go to the stream they came from', async () => {
  const vivarium = home();
  vivarium.logLines = [
    { stream: 'stdout', text: 'out', at: 'T1' },
    { stream: 'stderr', text: 'err', at: 'T2' },
  ];
  assert.deepEqual(await viv(['logs', '-t', 'web'], { vivarium }), {
    status: 0,
    stdout: 'T1 out\n',
    stderr: 'T2 err\n',
  });
  const json = await viv(['logs', '--json', 'web'], { vivarium });
  assert.deepEqual(
    json.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    vivarium.logLines,
  );
});

test('cp moves trees by path and tar streams by -', async () => {
  const vivarium = home();
  await viv(['cp', './a/.', 'web:/b'], { vivarium });
  await viv(['cp', 'web:/b', '/tmp/x'], { vivarium });
  assert.deepEqual(
    vivarium.calls.filter((call) => call !== 'closed'),
    [`copyIn ${process.cwd()}/a/. /b`, 'copyOut /b /tmp/x'],
  );
  await viv(['cp', '-', 'web:/b'], { vivarium, input: 'tar bytes' });
  assert.equal((await viv(['cp', 'web:/b', '-'], { vivarium })).stdout, 'tar bytes');
});

test('image commands print what they did', async () => {
  const vivarium = home();
  vivarium.imageList.push(fakeImage('busybox'));
  assert.match((await viv(['image', 'ls'], { vivarium })).stdout, /\nbusybox +cdcdcdcdcdcd +1 +1\.9MB /);
  const pulled = await viv(['pull', 'app'], { vivarium });
  assert.equal(pulled.stdout, `sha256:${'cd'.repeat(32)}\n`);
  assert.match(pulled.stderr, /^pulling app\nlayer 11 downloaded \(5B\)\nimage sha256:/);
  assert.equal((await viv(['pull', '-q', 'app'], { vivarium })).stderr, '');
  assert.equal((await viv(['image', 'rm', 'a', 'used'], { vivarium })).status, 5);
  await viv(['image', 'import', 'x.tar', 'app:2'], { vivarium });
  assert.ok(vivarium.calls.includes(`import ${process.cwd()}/x.tar app:2`));
});

test('doctor shows each check and fails where one failed', async () => {
  const outcome = await viv(['doctor'], { vivarium: home() });
  assert.deepEqual([outcome.status, outcome.stdout], [1, 'failed   kvm  no /dev/kvm\n         hint: none\n']);
});

test('colours are for terminals, and NO_COLOR turns them off', async () => {
  const coloured = await viv(['ls'], { vivarium: home(), columns: 100 });
  assert.ok(coloured.stdout.includes('\x1b[32m'));
  const plain = await viv(['ls'], { vivarium: home(), columns: 100, env: { NO_COLOR: '1' } });
  assert.ok(!plain.stdout.includes('\x1b['));
});

test('stats --no-stream prints one table, --json one line for each VM', async () => {
  const { stdout } = await viv(['stats', '--no-stream'], { vivarium: home() });
  assert.match(stdout, /^NAME +CPU % .*\nweb +0\.0 +1MB \/ 256MB /);
  const json = await viv(['stats', '--no-stream', '--json', 'web'], { vivarium: home() });
  assert.equal(JSON.parse(json.stdout).name, 'web');
});

test('states NAME says what can be done now', async () => {
  assert.match((await viv(['states', 'web'], { vivarium: home() })).stdout, /^Running: .*stop/);
});

test('a listing whose reader has gone away ends quietly', async () => {
  const terminal = new FakeTerminal({ vivarium: home() });
  terminal.stdout.destroy();
  assert.deepEqual(await terminal.run('ls'), { status: 0, stdout: '', stderr: '' });
});

test('an error that carries a log shows it, without its control characters', async () => {
  const vivarium = home();
  vivarium.failure = new VivError('daemon_unreachable', 'vivd ended.', {
    details: { log: 'one\n\x1b[2Jtwo' },
  });
  const { status, stderr } = await viv(['create', 'busybox'], { vivarium });
  assert.deepEqual([status, stderr], [69, 'viv: vivd ended.\n  one\n  \\u001b[2Jtwo\n']);
});

test('a broken pipe is silent only where it is our own output', async () => {
  const vivarium = home();
  vivarium.get = async () => {
    throw Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  };
  const outcome = await viv(['pause', 'web'], { vivarium });
  assert.deepEqual([outcome.status, outcome.stderr], [70, 'viv: write EPIPE\n']);

  const terminal = new FakeTerminal({ vivarium: home() });
  terminal.stdout.destroy();
  const { status, stderr } = await terminal.run('ls');
  assert.deepEqual([status, stderr], [0, '']);
});
