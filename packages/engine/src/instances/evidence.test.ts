import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { failure, House } from './fixtures/house.ts';

describe('what a VM left behind', () => {
  it('explains its own end and no later one', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox', cmd: ['sh', '-c', 'exit 7'] });
    house.host.faults.inject('boot.kernel', { effect: 'panic' });
    assert.equal((await failure(vm.start())).code, 'guest_panicked');
    await vm.start();
    assert.deepEqual((await vm.waitFor('Stopped')).exit?.reason, 'exited');
    house.host.faults.inject('boot.init', { effect: 'crash' });
    assert.notEqual((await failure(vm.start())).code, 'guest_panicked');
  });

  it('is shown only as far as it is what the agent writes', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox');
    const forged = { id: 'root', code: 1e300, signal: '\u001b[2J', oom: false };
    const line = `${new Date(Date.now() + 1000).toISOString()} exit F ${JSON.stringify(forged)}\n`;
    await appendFile(path.join(house.dir(vm.id), 'app.log'), line);
    house.host.crash(house.dir(vm.id));
    const { exit } = await vm.waitFor('Stopped');
    assert.equal(exit?.code, undefined);
  });
});
