import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collect, failure } from './expect.ts';
import type { Given } from './index.ts';

export function instanceContract(given: Given): void {
  describe('instances', () => {
    it('are made stopped, with the defaults', async () => {
      await using vm = await given().create({ image: 'busybox' });
      assert.equal(vm.info.state, 'Stopped');
      assert.equal(vm.info.cpus, 1);
      assert.equal(vm.info.memoryBytes, 256 * 1024 ** 2);
      assert.equal(vm.info.diskBytes, 10 * 1024 ** 3);
      assert.match(vm.name, /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
      assert.match(vm.info.image.digest, /^sha256:[0-9a-f]{64}$/);
    });

    it('have a network, whose addresses come with the first start, or none', async () => {
      await using vm = await given().create({ image: 'busybox' });
      await using alone = await given().create({ image: 'busybox', network: 'none' });
      assert.deepEqual([vm.info.network, alone.info.network], [{ backend: 'user' }, undefined]);
      await vm.start();
      const { network } = await vm.refresh();
      assert.match(
        `${network?.ip} ${network?.gateway} ${network?.mac}`,
        /^[\d.]+ [\d.]+ ([\da-f]{2}:){5}[\da-f]{2}$/,
      );
      await vm.stop();
      assert.deepEqual((await vm.refresh()).network, network);
    });

    it('go through start, pause, resume, stop and start again, saying what changed', async () => {
      await using vm = await given().create({ image: 'busybox', name: 'contract-life', tags: { a: 'b' } });
      assert.deepEqual(await vm.stop(), { changed: false, state: 'Stopped' });
      assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
      assert.deepEqual(await vm.start(), { changed: false, state: 'Running' });
      assert.equal((await vm.refresh()).generation, 1);
      assert.deepEqual(await vm.pause(), { changed: true, state: 'Paused' });
      await failure(vm.exec(['true']), 'invalid_state');
      assert.deepEqual(await vm.resume(), { changed: true, state: 'Running' });
      assert.equal((await vm.exec(['echo', 'up'])).stdout, 'up\n');
      assert.deepEqual(await vm.stop(), { changed: true, state: 'Stopped' });
      const info = await vm.refresh();
      assert.equal(info.exit?.reason, 'stopped');
      assert.deepEqual(info.tags, { a: 'b' });
      await vm.start();
      assert.equal((await vm.refresh()).generation, 2);
    });

    it('can be prepared, and then started', async () => {
      await using vm = await given().create({ image: 'busybox' });
      assert.deepEqual(await vm.prepare(), { changed: true, state: 'Created' });
      assert.deepEqual(await vm.start(), { changed: true, state: 'Running' });
    });

    it('are found by id, name and id prefix, and by nothing else', async () => {
      await using vm = await given().create({ image: 'busybox', name: 'contract-lookup' });
      assert.equal((await given().get(vm.id)).name, 'contract-lookup');
      assert.equal((await given().get('contract-lookup')).id, vm.id);
      assert.equal((await given().get(vm.id.slice(0, 12))).id, vm.id);
      assert.equal((await failure(given().get('contract-absent'), 'not_found')).rule.status, 404);
    });

    it('are refused with a code for what is wrong', async () => {
      const viv = given();
      await using _ = await viv.create({ image: 'busybox', name: 'contract-taken' });
      await failure(viv.create({ image: 'busybox', name: 'contract-taken' }), 'name_conflict');
      await failure(viv.create({ image: 'busybox', name: 'Not A Name' }), 'invalid_name');
      await failure(viv.create({ image: 'busybox', memory: 'plenty' }), 'invalid_size');
      await failure(viv.create({ image: 'busybox', memory: '1KB' }), 'invalid_size');
      await failure(viv.create({ image: 'contract/absent', pull: 'never' }), 'image_not_found');
    });

    it('live ones are deleted only by force, and are then gone', async () => {
      const vm = await given().run('busybox');
      await failure(vm.delete(), 'invalid_state');
      await vm.delete({ force: true });
      await failure(vm.refresh(), 'not_found');
      await failure(given().get(vm.id), 'not_found');
    });

    it('are renamed and their disks grown, never shrunk', async () => {
      await using vm = await given().create({ image: 'busybox', name: 'contract-old' });
      assert.equal((await vm.rename('contract-new')).name, 'contract-new');
      assert.equal(vm.name, 'contract-new');
      await failure(given().get('contract-old'), 'not_found');
      assert.equal((await vm.resizeDisk('11GB')).diskBytes, 11 * 1024 ** 3);
      await failure(vm.resizeDisk('1GB'), 'invalid_size', 'not_supported', 'invalid_request');
    });

    it('end with their scope under await using', async () => {
      let id: string;
      {
        await using vm = await given().run('busybox');
        id = vm.id;
      }
      await failure(given().get(id), 'not_found');
    });

    it('tell their stages while they start, before and after somebody looks', async () => {
      const task = given().run('busybox');
      const stages = (await collect(task)).map(({ stage }) => stage);
      await using _ = await task;
      assert.equal(stages.at(-1), 'running');
      assert.deepEqual(
        (await collect(task)).map(({ stage }) => stage),
        stages,
      );
    });

    it('are listed by pages, states and tags', async () => {
      const viv = given();
      const made = await Promise.all(
        [1, 2, 3].map((n) => viv.create({ image: 'busybox', tags: { list: `${n % 2}` } })),
      );
      const first = await viv.list({ limit: 2 });
      assert.equal(first.items.length, 2);
      assert.ok(first.next);
      const rest = await viv.list({ limit: 1000, cursor: first.next });
      const ids = [...first.items, ...rest.items].map(({ id }) => id);
      for (const { id } of made) assert.equal(ids.filter((other) => other === id).length, 1);
      assert.equal((await collect(viv.all({ tags: { list: '1' } }))).length, 2);
      assert.equal((await collect(viv.all({ tags: { list: '1' }, states: ['Running'] }))).length, 0);
      for (const vm of made) await vm.delete();
    });

    it('are waited for, as long as they can still come', async () => {
      await using vm = await given().create({ image: 'busybox' });
      const running = vm.waitFor('Running', { timeoutMs: 30_000 });
      await vm.start();
      assert.equal((await running).state, 'Running');
      await failure(vm.waitFor('Paused', { timeoutMs: 50 }), 'timeout');
      const paused = vm.waitFor('Paused', { timeoutMs: 30_000 });
      // Only once the wait has begun does the stop end it: a whole command is a head start.
      await vm.exec(['true']);
      await vm.stop();
      await failure(paused, 'invalid_state');
      const aborted = new AbortController();
      const wait = vm.waitFor('Running', { signal: aborted.signal });
      aborted.abort();
      await failure(wait, 'cancelled');
    });
  });
}
