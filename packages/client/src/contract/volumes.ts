import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Task, Vm, VolumeInfo } from '@vivarium/model';
import { collect, failure, read } from './expect.ts';
import type { Given } from './index.ts';

const GiB = 1024 ** 3;

export function volumeContract(given: Given): void {
  describe('volumes', () => {
    it('are made, found, listed by their tags, grown and removed', async () => {
      const { volumes } = given();
      const made = await volumes.create({ name: 'contract-vol', size: '1GB', tags: { of: 'contract' } });
      assert.deepEqual(
        [made.name, made.sizeBytes, made.readOnly, made.sourceId, made.attachments],
        ['contract-vol', GiB, false, undefined, []],
      );
      for (const name of ['contract-vol', made.id, made.id.slice(0, 12)])
        assert.deepEqual(await volumes.get(name), made);
      assert.deepEqual(await volumes.list({ tags: { of: 'contract' } }), [made]);
      assert.deepEqual(await volumes.list({ tags: { of: 'other' } }), []);
      await failure(volumes.create({ name: 'contract-vol', size: '1GB' }), 'name_conflict');
      await failure(volumes.create({ name: 'Not A Name', size: '1GB' }), 'invalid_name');
      await failure(volumes.create({ size: '1KB' }), 'invalid_size');
      assert.equal((await volumes.resize('contract-vol', '2GB')).sizeBytes, 2 * GiB);
      await failure(volumes.resize('contract-vol', '1GB'), 'invalid_size');
      await volumes.remove('contract-vol');
      await failure(volumes.get('contract-vol'), 'not_found');
    });

    it('come and go while an instance runs, and keep what was written to them', async () => {
      const { volumes } = given();
      const { id } = await volumes.create({ name: 'contract-hot', size: '64MB' });
      await using vm = await given().run('busybox', { name: 'contract-has' });
      const info = await vm.volumes.attach({ volume: 'contract-hot', path: '/data/deep' });
      assert.deepEqual(info.volumes, [{ volumeId: id, path: '/data/deep', mode: 'rw' }]);
      assert.deepEqual(vm.info.volumes, info.volumes);
      await vm.files.writeFile('/data/deep/kept', 'kept');
      assert.deepEqual((await volumes.get(id)).attachments, [
        { instanceId: vm.id, instanceName: 'contract-has', path: '/data/deep', mode: 'rw' },
      ]);
      await failure(volumes.remove(id), 'conflict');
      await failure(vm.volumes.attach({ volume: id, path: '/else' }), 'conflict');
      await failure(vm.volumes.attach({ volume: 'absent', path: '/else' }), 'not_found');
      await using other = await given().run('busybox');
      await failure(other.volumes.attach({ volume: id, path: '/data', mode: 'ro' }), 'conflict');
      assert.equal((await vm.volumes.detach('contract-hot')).volumes, undefined);
      await failure(vm.volumes.detach('contract-hot'), 'not_found');
      await other.volumes.attach({ volume: id, path: '/data', mode: 'ro' });
      assert.equal(await read(other, '/data/kept'), 'kept');
      await failure(other.files.writeFile('/data/more', 'x'), 'guest_error');
      await other.volumes.detach(id);
      await volumes.remove(id);
    });

    it('are there from the start, and after a stop or a suspend', async () => {
      const { volumes } = given();
      await volumes.create({ name: 'contract-rw', size: '64MB' });
      const vm = await given().run('busybox', { volumes: [{ volume: 'contract-rw', path: '/data' }] });
      await vm.files.writeFile('/data/kept', 'one');
      await vm.suspend();
      await failure(vm.volumes.detach('contract-rw'), 'invalid_state');
      await vm.start();
      assert.equal(await read(vm, '/data/kept'), 'one');
      await vm.restart();
      assert.equal(await read(vm, '/data/kept'), 'one');
      await failure(vm.fork(), 'not_supported');
      await failure(vm.snapshots.create(), 'conflict');
      await vm.delete({ force: true });
      await volumes.remove('contract-rw');
    });

    it('are read by many, each with what it writes to itself', async () => {
      const { volumes } = given();
      await filled(given, 'contract-shared');
      const mounts = [{ volume: 'contract-shared', path: '/data', mode: 'overlay' as const }];
      await using one = await given().run('busybox', { volumes: mounts });
      await using two = await given().run('busybox', { volumes: mounts });
      await one.files.writeFile('/data/own', 'private');
      assert.equal(await read(one, '/data/kept'), 'kept');
      assert.equal(await read(two, '/data/kept'), 'kept');
      await failure(two.files.stat('/data/own'), 'path_not_found');
      const [copy] = await one.fork();
      assert.equal(await read(copy as Vm, '/data/kept'), 'kept');
      assert.equal((await volumes.get('contract-shared')).attachments.length, 3);
      for (const vm of [copy, one, two]) await vm?.delete({ force: true });
      await volumes.remove('contract-shared');
    });

    it('are copied while they are written to, and kept as they were', async () => {
      const { volumes } = given();
      const { id } = await volumes.create({ name: 'contract-source', size: '64MB' });
      await using vm = await given().run('busybox', {
        volumes: [{ volume: 'contract-source', path: '/data' }],
      });
      await vm.files.writeFile('/data/value', 'one');
      const kept = await volumes.snapshot('contract-source', { name: 'contract-kept' });
      await vm.files.writeFile('/data/value', 'two');
      assert.deepEqual([kept.readOnly, kept.sourceId], [true, id]);
      await failure(vm.volumes.attach({ volume: 'contract-kept', path: '/kept', mode: 'rw' }), 'conflict');
      await vm.volumes.attach({ volume: 'contract-kept', path: '/kept' });
      assert.equal(await read(vm, '/kept/value'), 'one');
      const clone = await volumes.clone('contract-kept');
      await vm.volumes.attach({ volume: clone.id, path: '/clone' });
      await vm.files.writeFile('/clone/value', 'three');
      assert.deepEqual([await read(vm, '/data/value'), await read(vm, '/kept/value')], ['two', 'one']);
      await vm.delete({ force: true });
      for (const volume of [id, kept.id, clone.id]) await volumes.remove(volume);
    });

    it('are copied and made of archives in the background, by operations that name them', async () => {
      const { volumes, operations } = given();
      await filled(given, 'contract-origin');
      const origin = await volumes.get('contract-origin');
      const archive = Buffer.concat(await collect(volumes.export(origin.id)));
      const ways: Record<string, (name: string) => Task<VolumeInfo>> = {
        'clone-volume': (name) => volumes.clone(origin.name, { name }),
        'snapshot-volume': (name) => volumes.snapshot(origin.name, { name }),
        'import-volume': (name) => volumes.import(once(archive), { name, size: '64MB' }),
      };
      for (const [action, ask] of Object.entries(ways)) {
        const name = `contract-${action}`;
        const task = ask(name);
        const stages = (await collect(task)).map(({ stage }) => stage);
        assert.ok(stages.includes(action === 'import-volume' ? 'unpacking' : 'copying'), `${stages}`);
        await volumes.remove((await task).id);
        const asked = await ask(name).detach();
        assert.deepEqual([asked.action, asked.background], [action, true]);
        const ended = await operations.wait(asked.id);
        assert.equal(ended.state, 'done', JSON.stringify(ended.error));
        const { id } = await volumes.get(name);
        assert.deepEqual(ended.result, [{ kind: 'volume', id, name }]);
        const about = action === 'import-volume' ? { id, name } : { id: origin.id, name: origin.name };
        assert.deepEqual(ended.resource, { kind: 'volume', ...about });
        assert.deepEqual(await operations.get(asked.id), ended);
        await volumes.remove(id);
      }
      await failure(volumes.clone('absent').detach(), 'not_found');
      await volumes.remove(origin.id);
    });

    it('are copied while they are written to by an operation that the writer’s is a part of', async () => {
      const { volumes, operations } = given();
      await volumes.create({ name: 'contract-live', size: '64MB' });
      await using vm = await given().run('busybox', {
        volumes: [{ volume: 'contract-live', path: '/data' }],
      });
      const { id } = await volumes.clone('contract-live', { name: 'contract-of-live' }).detach();
      assert.equal((await operations.wait(id)).result?.[0]?.name, 'contract-of-live');
      const [part] = (await operations.list({ instance: vm.id, actions: ['clone-volume'] })).items;
      assert.deepEqual([part?.parent, part?.resource?.id], [id, vm.id]);
      await vm.delete({ force: true });
      for (const volume of ['contract-live', 'contract-of-live']) await volumes.remove(volume);
    });

    it('of an archive that is sent again with its key are one', async () => {
      const { volumes } = given();
      await filled(given, 'contract-origin');
      const archive = Buffer.concat(await collect(volumes.export('contract-origin')));
      const ask = (content: Uint8Array) =>
        volumes.import(once(content), {
          name: 'contract-keyed',
          size: '64MB',
          idempotencyKey: 'contract import',
        });
      const { id } = await ask(archive);
      assert.equal((await ask(archive)).id, id);
      await failure(ask(archive.subarray(1)), 'conflict');
      for (const volume of [id, 'contract-origin']) await volumes.remove(volume);
      await failure(ask(archive), 'not_found');
    });

    it('become archives, and archives volumes', async () => {
      const { volumes } = given();
      await filled(given, 'contract-out');
      const archive = Buffer.concat(await collect(volumes.export('contract-out')));
      const made = await volumes.import(once(archive), { name: 'contract-in', size: '64MB' });
      assert.equal(made.name, 'contract-in');
      await using vm = await given().run('busybox', {
        volumes: [{ volume: 'contract-in', path: '/data', mode: 'ro' }],
      });
      assert.equal(await read(vm, '/data/kept'), 'kept');
      const half = once(archive.subarray(0, archive.length / 2));
      await failure(volumes.import(half, { name: 'contract-half', size: '64MB' }), 'archive_invalid');
      await failure(volumes.get('contract-half'), 'not_found');
      await vm.delete({ force: true });
      for (const volume of ['contract-in', 'contract-out']) await volumes.remove(volume);
    });
  });
}

async function* once(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content;
}

/** A volume that nobody has, with a file `kept`. */
async function filled(given: Given, name: string): Promise<void> {
  await given().volumes.create({ name, size: '64MB' });
  const vm = await given().run('busybox', { volumes: [{ volume: name, path: '/data' }] });
  await vm.files.writeFile('/data/kept', 'kept');
  await vm.stop();
  await vm.delete();
}
