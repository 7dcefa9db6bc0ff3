import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Vm } from '@vivarium/model';
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

    it('become archives, and archives volumes', async () => {
      const { volumes } = given();
      await filled(given, 'contract-out');
      const archive = Buffer.concat(await collect(volumes.export('contract-out')));
      const whole = async function* () {
        yield archive;
      };
      const made = await volumes.import(whole(), { name: 'contract-in', size: '64MB' });
      assert.equal(made.name, 'contract-in');
      await using vm = await given().run('busybox', {
        volumes: [{ volume: 'contract-in', path: '/data', mode: 'ro' }],
      });
      assert.equal(await read(vm, '/data/kept'), 'kept');
      const half = async function* () {
        yield archive.subarray(0, archive.length / 2);
      };
      await failure(volumes.import(half(), { name: 'contract-half', size: '64MB' }), 'archive_invalid');
      await failure(volumes.get('contract-half'), 'not_found');
      await vm.delete({ force: true });
      for (const volume of ['contract-in', 'contract-out']) await volumes.remove(volume);
    });
  });
}

/** A volume that nobody has, with a file `kept`. */
async function filled(given: Given, name: string): Promise<void> {
  await given().volumes.create({ name, size: '64MB' });
  const vm = await given().run('busybox', { volumes: [{ volume: name, path: '/data' }] });
  await vm.files.writeFile('/data/kept', 'kept');
  await vm.stop();
  await vm.delete();
}
