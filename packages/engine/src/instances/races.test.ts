import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Vm } from '@vivarium/model';
import { UserNetwork } from '../network/user.ts';
import { failure, House } from './fixtures/house.ts';

describe('a handle of what is gone', () => {
  it('brings nothing back by a rename', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox', name: 'one' });
    await vm.delete();
    assert.equal((await failure(vm.rename('two'))).code, 'not_found');
    assert.equal((await failure(vm.start())).code, 'not_found');
    assert.deepEqual(readdirSync(path.join(house.home, 'instances')), []);
    await house.engine.create({ image: 'busybox', name: 'two' });
  });
});

describe('a name', () => {
  it('is not the id of another instance: that one would be found instead', async () => {
    await using house = await House.open();
    const { id } = await house.engine.create({ image: 'busybox' });
    const other = await house.engine.create({ image: 'busybox' });
    assert.equal((await failure(other.rename(id))).code, 'name_conflict');
    assert.equal((await failure(house.engine.create({ image: 'busybox', name: id }))).code, 'name_conflict');
  });

  it('is free again when its create was cancelled before it began', async () => {
    await using house = await House.open();
    const create = house.engine.create({ image: 'busybox', name: 'one' }, { signal: AbortSignal.abort() });
    assert.equal((await failure(create)).code, 'cancelled');
    assert.deepEqual((await house.engine.list()).items, []);
    await house.engine.create({ image: 'busybox', name: 'one' });
  });

  it('is free again when the create could not even be journalled', async () => {
    await using house = await House.open();
    const mend = house.refuse('INSERT', 'operations');
    await failure(house.engine.create({ image: 'busybox', name: 'one' }));
    mend();
    assert.deepEqual((await house.engine.list()).items, []);
    await house.engine.create({ image: 'busybox', name: 'one' });
  });
});

describe('pages', () => {
  it('hold each instance once, also of those made in the same millisecond', async () => {
    await using house = await House.open();
    const made = Array.from({ length: 40 }, () => house.engine.create({ image: 'busybox' }));
    const ids = (await Promise.all(made)).map(({ id }) => id);
    const seen: string[] = [];
    for await (const { id } of house.engine.all({ limit: 1 })) seen.push(id);
    assert.deepEqual(seen.sort(), ids.sort());
  });
});

describe('an instance that is removed at its end', () => {
  it('says why its start failed, and not that it is just being removed', async () => {
    await using house = await House.open();
    const run = house.engine.run('busybox', { cmd: ['no-such-command'], autoRemove: true });
    assert.equal((await failure(run)).code, 'command_not_found');
    assert.deepEqual((await house.engine.list()).items, []);
  });

  it('shares its removal with whoever removes it by force', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    await Promise.all([vm.delete(), vm.delete({ force: true })]);
  });

  it('survives a restart that was asked for', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox', { autoRemove: true });
    assert.equal((await vm.restart()).state, 'Running');
    assert.equal((await house.engine.get(vm.id)).info.generation, 2);
  });

  it('is removed by the daemon that comes after it ended', async () => {
    await using house = await House.open();
    const vm = await house.engine.run('busybox', { autoRemove: true });
    const never = await house.engine.create({ image: 'busybox', autoRemove: true });
    await house.kill();
    house.host.crash(house.dir(vm.id));
    await house.open();
    assert.deepEqual(
      (await house.engine.list()).items.map(({ id }) => id),
      [never.id],
    );
  });

  it('is gone when the program that embeds it has closed its engine', async () => {
    await using house = await House.open('embedded');
    await house.engine.run('busybox', { autoRemove: true });
    await house.engine.close();
    assert.deepEqual(readdirSync(path.join(house.home, 'instances')), []);
    await house.open();
  });
});

describe('times', () => {
  it('may be endless where somebody waits', async () => {
    await using house = await House.open();
    const vm = await house.engine.create({ image: 'busybox' });
    const wait = vm.waitFor('Running', { timeoutMs: Number.POSITIVE_INFINITY });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await vm.start();
    assert.equal((await wait).state, 'Running');
  });

  for (const timeoutMs of [Number.POSITIVE_INFINITY, Number.NaN, -1, 2 ** 31]) {
    it(`of ${timeoutMs} ms is no time for a stop`, async () => {
      await using house = await House.open();
      const vm: Vm = await house.engine.run('busybox');
      assert.equal((await failure(vm.stop({ timeoutMs }))).code, 'invalid_request');
      const create = house.engine.create({ image: 'busybox', stopTimeoutMs: timeoutMs });
      assert.equal((await failure(create)).code, 'invalid_request');
      assert.equal(vm.info.state, 'Running');
    });
  }
});

it('a delete works though the network lets go of nothing', async () => {
  const network = new UserNetwork();
  network.release = () => {
    throw new Error('busy');
  };
  await using house = await House.open('daemon', { network });
  const vm = await house.engine.run('busybox');
  await vm.delete({ force: true });
  await assert.rejects(house.engine.get(vm.id));
  assert.deepEqual(readdirSync(path.join(house.home, 'instances')), []);
  for await (const { type, data } of house.engine.events({ since: 0 })) {
    if (type === 'warning') assert.match(String(data.message), /not released: busy/);
    if (type === 'warning') break;
  }
});
