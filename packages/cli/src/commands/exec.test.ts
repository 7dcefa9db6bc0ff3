import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivError } from '@vivarium/model';
import { FakeTerminal, viv } from '../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../test/fake-vivarium.ts';

const home = () =>
  new FakeVivarium({
    async sh({ argv, out, err }) {
      out(argv.slice(1).join(' '));
      err('!');
      return 7;
    },
    async wc({ stdin, out }) {
      let bytes = 0;
      for await (const data of stdin) bytes += data.length;
      out(`${bytes}\n`);
      return 0;
    },
    async notexec() {
      throw new VivError('command_not_executable', 'exec: "notexec": permission denied');
    },
    stubborn: ({ out }) => {
      out('ready');
      return new Promise(() => undefined);
    },
  }).add(fakeInstance({ name: 'web' }));

test('exec passes outputs and exit status through', async () => {
  const outcome = await viv(['exec', 'web', '--', 'sh', '-c', 'x'], { vivarium: home() });
  assert.deepEqual(outcome, { status: 7, stdout: '-c x', stderr: '!' });
});

test('exec -i gives our stdin to the command, and its end', async () => {
  const outcome = await viv(['exec', '-i', 'web', 'wc', '-c'], { vivarium: home(), input: 'data\n' });
  assert.deepEqual(outcome, { status: 0, stdout: '5\n', stderr: '' });
});

test('a command that does not exist is 127, one that cannot be executed 126, each with a message', async () => {
  const missing = await viv(['exec', 'web', 'nosuch'], { vivarium: home() });
  assert.deepEqual([missing.status, missing.stderr], [127, 'viv: exec: "nosuch": not found\n']);
  const denied = await viv(['exec', 'web', 'notexec'], { vivarium: home() });
  assert.deepEqual([denied.status, denied.stderr], [126, 'viv: exec: "notexec": permission denied\n']);
});

test('exec without a command, or in a VM that is not there, says what is wrong', async () => {
  assert.equal((await viv(['exec', 'web'], { vivarium: home() })).status, 2);
  const gone = await viv(['exec', 'nosuch', 'sh'], { vivarium: home() });
  assert.deepEqual([gone.status, gone.stderr], [4, 'viv: No VM is named "nosuch".\nhint: See `viv ls`.\n']);
});

test('the second Ctrl-C kills the command, not the VM', async () => {
  const vivarium = home();
  const terminal = new FakeTerminal({ vivarium });
  const outcome = terminal.run('exec', 'web', 'stubborn');
  await terminal.shows('ready');
  terminal.signal('SIGINT');
  terminal.signal('SIGINT');
  assert.equal((await outcome).status, 137);
  assert.deepEqual(vivarium.connections[0]?.heard.slice(0, 2), ['SIGINT', 'SIGKILL']);
  assert.equal(vivarium.instances.get('web')?.state, 'Running');
});

test('exec -it passes every key on, Ctrl-P and Ctrl-Q too', async () => {
  const vivarium = home();
  vivarium.programs.keys = async ({ stdin, out }) => {
    for await (const data of stdin) {
      out(data);
      if (String(data).includes('q')) break;
    }
    return 0;
  };
  const terminal = new FakeTerminal({ vivarium, columns: 80 });
  const outcome = terminal.run('exec', '-it', 'web', 'keys');
  terminal.stdin.write('\x10\x11');
  await terminal.shows('\x10\x11');
  terminal.stdin.write('q');
  assert.equal((await outcome).status, 0);
});

test('an input that cannot be read is no end of it: the command is killed, and viv says why', async () => {
  const vivarium = home();
  vivarium.programs.hungry = async ({ stdin, out }) => {
    out('ready');
    for await (const _data of stdin);
    return 0;
  };
  const terminal = new FakeTerminal({ vivarium });
  const outcome = terminal.run('exec', '-i', 'web', 'hungry');
  await terminal.shows('ready');
  terminal.stdin.destroy(new Error('EISDIR: illegal operation on a directory, read'));
  const { status, stderr } = await outcome;
  assert.notEqual(status, 0);
  assert.match(stderr, /^viv: .*EISDIR/);
  assert.deepEqual(vivarium.connections[0]?.heard.slice(0, 1), ['SIGKILL']);
});
