import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isVivError } from '@vivarium/model';
import { openHouse } from './testing/house.ts';

test('a log that is followed ends with an error when the daemon goes, not as if the VM had', async () => {
  await using house = await openHouse({ graceMs: 50 });
  const vm = await house.viv.run('busybox', { name: 'followed', cmd: ['echo', 'said'] });
  const lines = vm.logs({ source: 'vivarium', follow: true })[Symbol.asyncIterator]();
  await lines.next();
  const ended = (async () => {
    while (!(await lines.next()).done);
  })();
  const told = assert.rejects(ended, (error) => isVivError(error, 'daemon_unreachable'));
  await house.daemon.close();
  await told;
});
