import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure, House } from '../instances/fixtures/house.ts';
import { boundlessGauge } from '../resources/gauge.ts';
import { newVolume, text } from './fixtures/volume-house.ts';

describe('the volumes of an instance that is saved', () => {
  it('are where they were when it goes on', async () => {
    await using house = await House.open();
    await newVolume(house);
    await newVolume(house, 'late');
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.volumes.attach({ volume: 'late', path: '/late' });
    await vm.volumes.detach('data');
    await vm.files.writeFile('/late/a', 'one');
    await vm.suspend();
    assert.equal((await house.engine.volumes.get('late')).attachments.length, 1);
    await vm.start();
    assert.equal(await text(vm, '/late/a'), 'one');
    await vm.volumes.detach('late');
  });

  it('can not be written to by a fork, nor kept in a snapshot with memory', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    assert.equal((await failure(vm.fork())).code, 'not_supported');
    assert.equal((await failure(vm.snapshots.create())).code, 'conflict');
    await vm.stop();
    assert.equal((await failure(vm.fork())).code, 'not_supported');
    const kept = await vm.snapshots.create();
    assert.equal(kept.hasMemory, false);
    assert.equal((await failure(house.engine.snapshots.fork(kept.id))).code, 'not_supported');
    await vm.snapshots.restore(kept.id);
  });

  it('are read by its copies', async () => {
    await using house = await House.open();
    await newVolume(house);
    const writer = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await writer.files.writeFile('/data/a', 'one');
    await writer.delete({ force: true });
    const volumes = [{ volume: 'data', path: '/data', mode: 'ro' as const }];
    const vm = await house.engine.run('busybox', { volumes });
    const [copy] = await vm.fork();
    assert.deepEqual(copy?.info.volumes, vm.info.volumes);
    assert.equal(await text(copy as typeof vm, '/data/a'), 'one');
    assert.equal((await house.engine.volumes.get('data')).attachments.length, 2);
  });

  it('are given to copies of a snapshot or to a writer, where both are asked for', async () => {
    let asked: () => Promise<unknown> = async () => undefined;
    const gauge = {
      ...boundlessGauge,
      diskBytes: (dir: string) => asked().then(() => boundlessGauge.diskBytes(dir)),
    };
    await using house = await House.open('daemon', { gauge });
    await newVolume(house);
    const reader = await house.engine.create({
      image: 'busybox',
      volumes: [{ volume: 'data', path: '/data', mode: 'ro' }],
    });
    const kept = await reader.snapshots.create();
    await reader.delete();
    await house.engine.create({ image: 'busybox', name: 'writer' });
    await house.reopen();
    const writer = await house.engine.get('writer');
    // Between the first look at the volumes and the copy that has them.
    asked = () => writer.volumes.attach({ volume: 'data', path: '/data' });
    assert.equal((await failure(house.engine.snapshots.fork(kept.id))).code, 'conflict');
    assert.equal((await house.engine.volumes.get('data')).attachments.length, 1);
  });

  it('are those of then: memory does not go on with a volume that was written to since', async () => {
    await using house = await House.open();
    await newVolume(house);
    const volumes = [{ volume: 'data', path: '/data', mode: 'ro' as const }];
    const vm = await house.engine.run('busybox', { volumes });
    const kept = await vm.snapshots.create();
    await vm.stop();
    assert.equal((await vm.snapshots.restore(kept.id)).state, 'Suspended');
    await vm.discard();
    await vm.volumes.detach('data');
    assert.match((await failure(vm.snapshots.restore(kept.id))).message, /mounted at \/data/);
    const writer = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await writer.delete({ force: true });
    await vm.volumes.attach({ volume: 'data', path: '/data', mode: 'ro' });
    assert.match((await failure(vm.snapshots.restore(kept.id))).message, /written to since/);
    assert.match((await failure(house.engine.snapshots.fork(kept.id))).message, /written to since/);
    const [cold] = await house.engine.snapshots.fork(kept.id, { state: 'stopped' });
    assert.equal(cold?.info.volumes?.length, 1);
  });
});

describe('volumes of a pool', () => {
  it('are read by all of its VMs', async () => {
    await using house = await House.open();
    await newVolume(house);
    const volumes = [{ volume: 'data', path: '/data', mode: 'ro' as const }];
    const pool = await house.engine.pools.create('p', { image: 'busybox', size: 2, volumes });
    const vm = await pool.acquire();
    assert.deepEqual(
      vm.info.volumes?.map(({ path: place }) => place),
      ['/data'],
    );
  });

  it('are not written to by several', async () => {
    await using house = await House.open();
    await newVolume(house);
    const volumes = [{ volume: 'data', path: '/data' }];
    const refused = await failure(house.engine.pools.create('p', { image: 'busybox', size: 2, volumes }));
    assert.equal(refused.code, 'invalid_request');
  });
});
