import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { FakeTerminal, viv, vivEach } from '../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../test/fake-vivarium.ts';

const home = () => new FakeVivarium().add(fakeInstance({ name: 'web' }));

test('a command that is left running is listed, read, joined, signalled and killed', async () => {
  const vivarium = home();
  assert.equal(await vivEach(vivarium, ['exec', '-d', 'web', '--', 'make', 'test']), 'exec-1\n');
  const [heading, row] = (await vivEach(vivarium, ['session', 'ls', 'web'])).split('\n');
  assert.match(heading ?? '', /^SESSION +STATE +PID +OUTPUT +COMMAND$/);
  assert.match(row ?? '', /^exec-1 +running +100 +10B +make test$/);
  assert.equal(await vivEach(vivarium, ['session', 'ls', '-q', 'web']), 'exec-1\n');
  assert.equal(JSON.parse(await vivEach(vivarium, ['session', 'ls', '--json', 'web']))[0].id, 'exec-1');
  assert.equal(await vivEach(vivarium, ['session', 'logs', 'web', 'exec-1']), 'make test\n');
  assert.equal(await vivEach(vivarium, ['session', 'logs', '--offset', '5', 'web', 'exec-1']), 'test\n');
  const piece = JSON.parse(await vivEach(vivarium, ['session', 'logs', '--json', 'web', 'exec-1']));
  assert.deepEqual([piece.stream, piece.offset], ['stdout', 0]);
  await vivEach(vivarium, ['session', 'attach', '--no-stdin', 'web', 'exec-1']);
  await vivEach(vivarium, ['session', 'kill', '-s', 'int', 'web', 'exec-1']);
  assert.ok(vivarium.calls.includes('signal exec-1 SIGINT'));
  assert.equal(
    await vivEach(vivarium, ['session', 'kill', 'web', 'exec-1'], ['session', 'ls', '-q', 'web']),
    '',
  );
  assert.equal((await viv(['session', 'logs', 'web', 'none'], { vivarium })).status, 4);
});

test('files of a VM are listed, printed, renamed, removed and watched by NAME:PATH', async () => {
  const vivarium = home();
  const { files } = await vivarium.get('web');
  await files.writeFile('/srv/a', '0123456789');
  const [heading, row] = (await vivEach(vivarium, ['fs', 'ls', 'web:/srv'])).split('\n');
  assert.match(heading ?? '', /^MODE +OWNER +SIZE +MODIFIED +NAME$/);
  assert.match(row ?? '', /^-rw-r--r-- +0:0 +10 +2026-01-02T03:04:05Z +a$/);
  assert.equal(await vivEach(vivarium, ['fs', 'ls', '-q', 'web:/srv']), 'a\n');
  assert.equal(await vivEach(vivarium, ['fs', 'cat', 'web:/srv/a']), '0123456789');
  assert.equal(await vivEach(vivarium, ['fs', 'cat', '--offset', '2', '--length', '3', 'web:/srv/a']), '234');
  await vivEach(
    vivarium,
    ['fs', 'mkdir', '-p', '-m', '700', 'web:/srv/d'],
    ['fs', 'mv', 'web:/srv/a', '/srv/b'],
  );
  await vivEach(vivarium, ['fs', 'mv', '-n', 'web:/srv/b', 'web:/srv/c'], ['fs', 'rm', '-rf', 'web:/srv/c']);
  const steps = vivarium.calls.filter((call) => call !== 'closed');
  assert.deepEqual(steps, [
    'mkdir /srv/d {"mode":448,"parents":true}',
    'rename /srv/a /srv/b {}',
    'rename /srv/b /srv/c {"replace":false}',
    'remove /srv/c {"recursive":true,"force":true}',
  ]);
  assert.equal(
    await vivEach(vivarium, ['fs', 'watch', 'web:/srv']),
    'created /srv/new\nrenamed /srv/a -> /srv/b\n',
  );
  const changes = (await vivEach(vivarium, ['fs', 'watch', '--json', 'web:/srv'])).trim().split('\n');
  assert.equal(JSON.parse(changes[1] ?? '').from, '/srv/a');
  for (const bad of [
    ['fs', 'ls', '/srv'],
    ['fs', 'ls', 'web:'],
    ['fs', 'mkdir', '-m', '9', 'web:/x'],
  ]) {
    assert.equal((await viv(bad, { vivarium })).status, 2, bad.join(' '));
  }
});

test('ports are forwarded until Ctrl-C', async () => {
  const terminal = new FakeTerminal({ vivarium: home() });
  const done = terminal.run('forward', 'web', '0:80', '0:81', '--json');
  await terminal.shows('"guestPort":81');
  const [first] = terminal.output.trim().split('\n');
  const { hostPort, hostAddress } = JSON.parse(first ?? '');
  const socket = connect(hostPort, hostAddress);
  socket.end('through');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.equal(answer.toString(), 'through');
  terminal.signal('SIGINT');
  await done;
  for (const bad of ['80:', 'x', '0', '70000']) {
    assert.equal((await viv(['forward', 'web', bad], { vivarium: home() })).status, 2, bad);
  }
});
