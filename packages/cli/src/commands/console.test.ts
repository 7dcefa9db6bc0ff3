import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { FakeTerminal } from '../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../test/fake-vivarium.ts';

/** A console whose guest reads nothing. */
const deaf = () => new Duplex({ read: () => undefined, write: () => undefined });

const home = (line: Duplex) => {
  const vivarium = new FakeVivarium().add(fakeInstance({ name: 'web' }));
  vivarium.consoleLine = line;
  return vivarium;
};

test('the keys to leave are seen behind much that the guest does not read', { timeout: 5000 }, async () => {
  const terminal = new FakeTerminal({ vivarium: home(deaf()), columns: 80 });
  const outcome = terminal.run('console', 'web');
  terminal.stdin.write('x'.repeat(100_000));
  terminal.stdin.write('\x1d');
  assert.equal((await outcome).status, 0);
  assert.deepEqual(terminal.rawModes, [true, false]);
});

test('an input that cannot be read ends it with what went wrong', { timeout: 5000 }, async () => {
  const terminal = new FakeTerminal({ vivarium: home(deaf()) });
  const outcome = terminal.run('console', 'web');
  const listening = new Promise<void>((resolve) => terminal.stdin.once('newListener', () => resolve()));
  await listening;
  terminal.stdin.destroy(new Error('EISDIR: illegal operation on a directory, read'));
  const { status, stderr } = await outcome;
  assert.notEqual(status, 0);
  assert.match(stderr, /EISDIR/);
});
