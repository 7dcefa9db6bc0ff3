import assert from 'node:assert/strict';
import { test } from 'node:test';
import { House } from './instances/fixtures/house.ts';
import { settled } from './service/fixtures/service-house.ts';

test('what is followed arrives when it is printed: nobody looks for it by the clock', async (t) => {
  await using house = await House.open();
  const vm = await house.engine.run('busybox');
  const { id } = await vm.sessions.start(['cat'], { stdin: true });
  const leave = new AbortController();
  const pieces = vm.sessions.output(id, { follow: true, signal: leave.signal })[Symbol.asyncIterator]();
  const joined = await vm.sessions.attach(id);
  // No timer goes off from here on.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  for (const line of ['one\n', 'two\n']) {
    const piece = pieces.next();
    await settled();
    await joined.write(Buffer.from(line));
    assert.equal(Buffer.from((await piece).value?.data ?? '').toString(), line);
  }
  const last = pieces.next();
  await settled();
  await joined.end();
  assert.equal((await last).done, true);
  t.mock.timers.reset();
});

test('who follows and leaves keeps nobody waiting', async () => {
  await using house = await House.open();
  const vm = await house.engine.run('busybox');
  const { id } = await vm.sessions.start(['cat'], { stdin: true });
  const leave = new AbortController();
  const pieces = vm.sessions.output(id, { follow: true, signal: leave.signal })[Symbol.asyncIterator]();
  const piece = pieces.next();
  await settled();
  leave.abort();
  assert.equal((await piece).done, true);
});
