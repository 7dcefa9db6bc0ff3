import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivError } from '@vivarium/model';
import type { Programs } from '../../test/fake-connection.ts';
import { FakeTerminal, viv } from '../../test/fake-context.ts';
import { FakeVivarium } from '../../test/fake-vivarium.ts';

const programs: Programs = {
  async both({ out, err }) {
    out('to stdout\n');
    err('to stderr\n');
    return 7;
  },
  async cat({ stdin, out }) {
    for await (const data of stdin) out(data);
    return 0;
  },
  async patient({ out, signalled }) {
    out('ready\n');
    return 128 + ((await signalled) === 'SIGINT' ? 2 : 15);
  },
  stubborn({ out }) {
    out('ready\n');
    return new Promise(() => undefined);
  },
  async lost({ out }) {
    out('half\n');
    throw new VivError('vmm_failed', 'QEMU ended: killed by signal 9', { hint: 'viv logs --source vmm' });
  },
};

const withPrograms = () => new FakeVivarium(programs);

test('run shows both outputs apart and ends with the exit status of the command', async () => {
  const vivarium = withPrograms();
  const outcome = await viv(['run', 'busybox', 'both'], { vivarium });
  assert.deepEqual(outcome, { status: 7, stdout: 'to stdout\n', stderr: 'to stderr\n' });
  assert.deepEqual(vivarium.created, [{ image: 'busybox', cmd: ['both'], attach: true, stdin: 'null' }]);
  assert.deepEqual(vivarium.calls, ['start quiet-otter-1', 'wait Stopped,Deleted', 'closed']);
});

test('what follows the image is the command, options of its own included', async () => {
  for (const words of [
    ['ls', '-l', '--rm'],
    ['--', 'ls', '-l', '--rm'],
  ]) {
    const vivarium = new FakeVivarium({ ls: async () => 0 });
    await viv(['run', '--rm', 'busybox', ...words], { vivarium });
    assert.deepEqual(vivarium.created[0]?.cmd, ['ls', '-l', '--rm']);
    assert.equal(vivarium.created[0]?.autoRemove, true);
  }
});

test('run -i gives our stdin to the command', async () => {
  const outcome = await viv(['run', '-i', 'busybox', 'cat'], {
    vivarium: withPrograms(),
    input: 'some data',
  });
  assert.deepEqual(outcome, { status: 0, stdout: 'some data', stderr: '' });
});

test('run -d prints the name and does not attach', async () => {
  const vivarium = withPrograms();
  const outcome = await viv(['run', '-d', '--name', 'web', 'busybox', 'both'], { vivarium });
  assert.deepEqual(outcome, { status: 0, stdout: 'web\n', stderr: '' });
  assert.equal(vivarium.created[0]?.attach, undefined);
});

test('run --rm waits until the VM is gone, so that its name is free again', async () => {
  const vivarium = withPrograms();
  await viv(['run', '--rm', 'busybox', 'both'], { vivarium });
  assert.deepEqual([...vivarium.instances.keys()], []);
});

test('the first Ctrl-C goes to the command, whose exit status it decides', async () => {
  const terminal = new FakeTerminal({ vivarium: withPrograms() });
  const outcome = terminal.run('run', 'busybox', 'patient');
  await terminal.shows('ready');
  terminal.signal('SIGINT');
  assert.equal((await outcome).status, 130);
});

test('the second signal stops the VM by force', async () => {
  const vivarium = withPrograms();
  vivarium.onStop = () => vivarium.connections.at(-1)?.signal('SIGKILL');
  const terminal = new FakeTerminal({ vivarium });
  const outcome = terminal.run('run', 'busybox', 'stubborn');
  await terminal.shows('ready');
  terminal.signal('SIGTERM');
  terminal.signal('SIGTERM');
  assert.equal((await outcome).status, 137);
  assert.ok(vivarium.calls.includes('stop -f quiet-otter-1'));
});

test('with --rm a VM whose session is lost is not left behind running', async () => {
  const vivarium = withPrograms();
  const outcome = await viv(['run', '--rm', 'busybox', 'lost'], { vivarium });
  assert.deepEqual(outcome, {
    status: 70,
    stdout: 'half\n',
    stderr: 'viv: QEMU ended: killed by signal 9\nhint: viv logs --source vmm\n',
  });
  assert.ok(vivarium.calls.includes('stop -f quiet-otter-1'));
});

test('with -it keys go to the guest raw, its size follows, and the terminal is as before afterwards', async () => {
  const vivarium = withPrograms();
  const terminal = new FakeTerminal({ vivarium, columns: 100 });
  const outcome = terminal.run('run', '-it', 'busybox', 'cat');
  terminal.stdin.write('\x03key');
  await terminal.shows('\x03key');
  assert.deepEqual(terminal.rawModes, [true]);
  Object.assign(terminal.stdout, { columns: 120, rows: 50 });
  terminal.signal('SIGWINCH');
  assert.deepEqual(vivarium.created[0]?.tty, { rows: 24, cols: 100 });
  assert.deepEqual(vivarium.connections[0]?.heard, ['resize 50x120']);
  terminal.stdin.end();
  assert.equal((await outcome).status, 0);
  assert.deepEqual(terminal.rawModes, [true, false]);
});

test('Ctrl-P Ctrl-Q leaves and lets the VM go on', async () => {
  const vivarium = withPrograms();
  const terminal = new FakeTerminal({ vivarium, columns: 80 });
  const outcome = terminal.run('run', '-it', 'busybox', 'stubborn');
  await terminal.shows('ready');
  terminal.stdin.write('\x10\x11');
  assert.equal((await outcome).status, 0);
  assert.deepEqual(terminal.rawModes, [true, false]);
  assert.equal(vivarium.instances.get('quiet-otter-1')?.state, 'Running');
});

test('-t without a terminal is refused before anything is made', async () => {
  const vivarium = withPrograms();
  const { status, stderr } = await viv(['run', '-it', 'busybox'], { vivarium, input: '' });
  assert.equal(status, 2);
  assert.match(stderr, /^viv: The input is not a terminal\.\nhint: /);
  assert.deepEqual(vivarium.created, []);
});

test('a failed creation says why and ends with the status of its error', async () => {
  const vivarium = withPrograms();
  vivarium.failure = new VivError('image_not_found', 'No image nosuch.', { hint: 'viv pull nosuch' });
  const outcome = await viv(['run', 'nosuch'], { vivarium });
  assert.deepEqual(outcome, {
    status: 4,
    stdout: '',
    stderr: 'viv: No image nosuch.\nhint: viv pull nosuch\n',
  });
});

test('when nobody reads our output any more, the command is ended and nothing is said', async () => {
  const vivarium = withPrograms();
  const terminal = new FakeTerminal({ vivarium });
  terminal.stdout.destroy();
  const outcome = await terminal.run('run', 'busybox', 'both');
  assert.deepEqual([outcome.status, outcome.stderr], [0, '']);
  assert.ok(vivarium.calls.includes('stop -f quiet-otter-1'));
});

test('the keys to leave are seen behind input that the command does not read', async () => {
  const vivarium = withPrograms();
  const terminal = new FakeTerminal({ vivarium, columns: 80 });
  const outcome = terminal.run('run', '-it', 'busybox', 'stubborn');
  await terminal.shows('ready');
  const [connection] = vivarium.connections;
  assert.ok(connection);
  connection.write = () => new Promise(() => undefined);
  terminal.stdin.write('typed ahead');
  terminal.stdin.write('\x10\x11');
  assert.equal((await outcome).status, 0);
});

test('a VM stopped by force need not say how its command ended', async () => {
  const vivarium = withPrograms();
  const terminal = new FakeTerminal({ vivarium });
  const outcome = terminal.run('run', '--rm', 'busybox', 'stubborn');
  await terminal.shows('ready');
  terminal.signal('SIGINT');
  terminal.signal('SIGINT');
  assert.equal((await outcome).status, 137);
  assert.deepEqual([...vivarium.instances.keys()], []);
});
