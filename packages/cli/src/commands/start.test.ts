import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivError } from '@vivarium/model';
import { FakeTerminal } from '../../test/fake-context.ts';
import { FakeVivarium, fakeInstance } from '../../test/fake-vivarium.ts';

test('a start shows how far it is, and what went wrong stays when the display is taken away', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const vivarium = new FakeVivarium().add(fakeInstance({ name: 'web', state: 'Stopped' }));
  const terminal = new FakeTerminal({ vivarium, columns: 80 });
  vivarium.onStart = async (call) => {
    call?.onProgress?.({ stage: 'launching' });
    t.mock.timers.tick(1000);
    throw new VivError('boot_failed', 'It did not boot.', { hint: 'viv logs web' });
  };
  const { status, stderr } = await terminal.run('start', 'web');
  assert.notEqual(status, 0);
  assert.match(stderr, /launching/);
  const last = stderr.slice(stderr.lastIndexOf('\x1b[J'));
  assert.match(last, /It did not boot\..*viv logs web/s);
});
