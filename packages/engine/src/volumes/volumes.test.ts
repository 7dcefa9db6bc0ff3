import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { failure, House } from '../instances/fixtures/house.ts';
import { newVolume, silence, text } from './fixtures/volume-house.ts';
import { serialOf } from './record.ts';

describe('a volume', () => {
  it('is made, found by id, name and prefix, listed by tags, and removed', async () => {
    await using house = await House.open();
    const { volumes } = house.engine;
    const made = await volumes.create({ name: 'data', size: '100MB', tags: { team: 'a' } });
    assert.deepEqual(
      [made.name, made.sizeBytes, made.readOnly, made.attachments, made.tags],
      ['data', 100 * 1024 ** 2, false, [], { team: 'a' }],
    );
    for (const name of [made.id, 'data', made.id.slice(0, 10)])
      assert.deepEqual(await volumes.get(name), made);
    const other = await volumes.create({ id: 'my_own-id', size: '64MB' });
    assert.equal(other.id, 'my_own-id');
    assert.deepEqual(await volumes.list({ tags: { team: 'a' } }), [made]);
    assert.equal((await volumes.list()).length, 2);
    await volumes.remove('data');
    assert.equal((await failure(volumes.get('data'))).code, 'not_found');
    assert.ok(!existsSync(path.join(house.home, 'volumes', made.id)));
  });

  it('shows nothing of the request that it was made for', async () => {
    await using house = await House.open();
    const { volumes } = house.engine;
    const made = await volumes.create({ name: 'data', size: '64MB', idempotencyKey: 'once' });
    const expected = ['attachments', 'createdAt', 'id', 'name', 'readOnly', 'sizeBytes', 'tags', 'usedBytes'];
    assert.deepEqual(Object.keys(made).sort(), expected);
  });

  it('is there though the list of events takes nothing more', async () => {
    await using house = await House.open();
    const allow = house.refuse('INSERT', 'events');
    const { id } = await newVolume(house);
    allow();
    assert.deepEqual(
      (await house.engine.volumes.list()).map((volume) => volume.id),
      [id],
    );
  });

  it('is listed also while its directory goes', async () => {
    await using house = await House.open();
    const { id } = await newVolume(house);
    await rm(path.join(house.home, 'volumes', id), { recursive: true });
    assert.deepEqual(
      (await house.engine.volumes.list()).map(({ usedBytes }) => usedBytes),
      [0],
    );
  });

  it('has a name and an id of its own, and a size that is possible', async () => {
    await using house = await House.open();
    const { volumes } = house.engine;
    await newVolume(house);
    const refused = [
      [{ name: 'data', size: '64MB' }, 'name_conflict'],
      [{ name: 'Not A Name', size: '64MB' }, 'invalid_name'],
      [{ size: '1MB' }, 'invalid_size'],
      [{ size: '64TB' }, 'invalid_size'],
      [{ size: 'large' }, 'invalid_size'],
      [{ size: '64MB', id: '../x' }, 'invalid_request'],
    ] as const;
    for (const [options, code] of refused)
      assert.equal((await failure(volumes.create(options))).code, code, JSON.stringify(options));
    assert.equal((await readdir(path.join(house.home, 'volumes'))).length, 1);
    const racing = await Promise.allSettled(Array.from({ length: 5 }, () => newVolume(house, 'one')));
    assert.equal(racing.filter(({ status }) => status === 'fulfilled').length, 1);
  });

  it('keeps what was written to it, from one instance to the next', async () => {
    await using house = await House.open();
    const { id } = await newVolume(house);
    const volumes = [{ volume: 'data', path: '/data' }];
    const first = await house.engine.run('busybox', { volumes });
    await first.files.writeFile('/data/kept', 'kept');
    assert.deepEqual(first.info.volumes, [{ volumeId: id, path: '/data', mode: 'rw' }]);
    assert.deepEqual((await house.engine.volumes.get(id)).attachments, [
      { instanceId: first.id, instanceName: first.name, path: '/data', mode: 'rw' },
    ]);
    await first.stop();
    assert.equal((await house.engine.volumes.get(id)).attachments.length, 1);
    await first.delete();
    const second = await house.engine.run('busybox', { volumes });
    assert.equal(await text(second, '/data/kept'), 'kept');
  });

  it('is written to by one instance alone, and read by any number', async () => {
    await using house = await House.open();
    const { engine } = house;
    await newVolume(house);
    const writer = await engine.create({ image: 'busybox', volumes: [{ volume: 'data', path: '/data' }] });
    for (const mode of ['rw', 'ro', 'overlay'] as const) {
      const refused = await failure(
        engine.create({ image: 'busybox', volumes: [{ volume: 'data', path: '/x', mode }] }),
      );
      assert.equal(refused.code, 'conflict');
    }
    assert.equal((await failure(engine.volumes.remove('data'))).code, 'conflict');
    await writer.delete();
    const readers = [];
    for (const mode of ['ro', 'overlay', 'ro'] as const)
      readers.push(await engine.run('busybox', { volumes: [{ volume: 'data', path: '/data', mode }] }));
    assert.equal(
      (await failure(readers[0]?.files.writeFile('/data/x', 'x') as Promise<void>)).code,
      'guest_error',
    );
    await readers[1]?.files.writeFile('/data/private', 'mine');
    assert.equal(
      (await failure(readers[2]?.files.stat('/data/private') as Promise<unknown>)).code,
      'path_not_found',
    );
    const refused = await failure(
      engine.create({ image: 'busybox', volumes: [{ volume: 'data', path: '/x' }] }),
    );
    assert.equal(refused.code, 'conflict');
  });

  it('has one winner of ten that race to write to it', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vms = [];
    for (let n = 0; n < 10; n++) {
      const options = { image: 'busybox' };
      vms.push(n % 2 ? await house.engine.create(options) : await house.engine.run('busybox'));
    }
    const all = await Promise.allSettled(
      vms.map((vm) => vm.volumes.attach({ volume: 'data', path: '/data' })),
    );
    assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1);
    const { attachments } = await house.engine.volumes.get('data');
    assert.equal(attachments.length, 1);
    const created = await Promise.allSettled(
      Array.from({ length: 10 }, () =>
        house.engine.create({ image: 'busybox', volumes: [{ volume: 'data', path: '/data' }] }),
      ),
    );
    assert.equal(created.filter(({ status }) => status === 'fulfilled').length, 0);
  });

  it('is either removed or attached, where both are asked for', async () => {
    await using house = await House.open();
    for (let n = 0; n < 5; n++) {
      const { id } = await newVolume(house, `race${n}`);
      const vm = await house.engine.run('busybox');
      const attach = () => vm.volumes.attach({ volume: id, path: '/data' });
      const remove = () => house.engine.volumes.remove(id);
      const both = n % 2 ? [attach(), remove()] : [remove(), attach()];
      const ends = (await Promise.allSettled(both)).map(({ status }) => status);
      assert.deepEqual(ends.sort(), ['fulfilled', 'rejected']);
      const there = (await house.engine.volumes.list()).some((volume) => volume.id === id);
      assert.equal((vm.info.volumes ?? []).length, there ? 1 : 0);
    }
  });
});

describe('a volume of a running instance', () => {
  it('comes and goes, and comes back', async () => {
    await using house = await House.open();
    const { id } = await newVolume(house);
    const vm = await house.engine.run('busybox');
    await vm.volumes.attach({ volume: 'data', path: '/data/deep' });
    await vm.files.writeFile('/data/deep/a', 'one');
    const detached = await vm.volumes.detach('data');
    assert.equal(detached.volumes, undefined);
    assert.equal((await failure(vm.files.stat('/data/deep/a'))).code, 'path_not_found');
    const other = await house.engine.run('busybox');
    await other.volumes.attach({ volume: id, path: '/there', mode: 'ro' });
    assert.equal(await text(other, '/there/a'), 'one');
    assert.equal((await failure(vm.volumes.detach('data'))).code, 'not_found');
  });

  it('has a place of its own, and each volume only once', async () => {
    await using house = await House.open();
    await newVolume(house);
    await newVolume(house, 'other');
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    for (const [volume, place, code] of [
      ['other', '/data', 'conflict'],
      ['other', '/data/below', 'conflict'],
      ['other', '/etc', 'invalid_request'],
      ['data', '/else', 'conflict'],
      ['none', '/else', 'not_found'],
    ] as const)
      assert.equal((await failure(vm.volumes.attach({ volume, path: place }))).code, code);
    await vm.volumes.attach({ volume: 'other', path: '/other' });
  });

  it('stays where it is in use, with who uses it in the message, and goes by force', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    const held = await vm.openExec(['sleep', '1000'], { cwd: '/data' });
    const refused = await failure(vm.volumes.detach('data'));
    assert.equal(refused.code, 'conflict');
    assert.match(refused.message, /sleep \(pid \d+\)/);
    assert.match(refused.hint ?? '', /--force/);
    assert.equal(vm.info.volumes?.length, 1);
    await vm.files.writeFile('/data/still', 'there');
    assert.equal((await vm.volumes.detach('data', { force: true })).volumes, undefined);
    assert.ok(held);
  });

  it('is not there where attaching fails, and can be attached elsewhere', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox');
    const failed = async (code: string) => {
      assert.equal((await failure(vm.volumes.attach({ volume: 'data', path: '/data' }))).code, code);
      assert.equal(vm.info.volumes, undefined);
      assert.equal(house.host.find(house.dir(vm.id))?.volumes.size, 0);
    };
    house.host.faults.inject('plug-volume', { effect: 'error' });
    await failed('vmm_failed');
    const { faults } = house.host.guest(house.dir(vm.id));
    faults.errors.set('volume.mount', { code: 'guest_error', message: 'no such file system' });
    await failed('guest_error');
    faults.errors.set('volume.mount', { code: 'not_supported', message: 'no such method' });
    await failed('not_supported');
    const other = await house.engine.run('busybox');
    await other.volumes.attach({ volume: 'data', path: '/data' });
  });

  it('stays where taking it out fails', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.files.writeFile('/data/a', 'one');
    house.host.faults.inject('unplug-volume', { effect: 'error' });
    await failure(vm.volumes.detach('data'));
    assert.equal(await text(vm, '/data/a'), 'one');
    assert.equal(vm.info.volumes?.length, 1);
    await vm.volumes.detach('data');
  });

  it('is where it was when a detach was given up, also where its guest had let go of it by then', async () => {
    await using house = await House.open();
    const { id } = await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.files.writeFile('/data/a', 'one');
    for (const done of [false, true]) {
      const guest = house.host.guest(house.dir(vm.id));
      const asked = silence(house, vm.id, 'volume.unmount');
      const leaving = new AbortController();
      const detach = failure(vm.volumes.detach('data', { signal: leaving.signal }));
      await asked;
      if (done) guest.system.volumes.unmount(serialOf(id));
      leaving.abort();
      assert.equal((await detach).code, 'cancelled');
      guest.faults.silent.clear();
      assert.equal(vm.info.volumes?.length, 1);
      assert.equal(await text(vm, '/data/a'), 'one');
    }
  });

  it('says what its guest says where that can not unmount it', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    const { faults } = house.host.guest(house.dir(vm.id));
    const message = "/data can't be unmounted: I/O error (os error 5)";
    faults.errors.set('volume.unmount', { code: 'guest_error', message, errno: 5 });
    const refused = await failure(vm.volumes.detach('data'));
    assert.deepEqual([refused.code, refused.details?.errno], ['guest_error', 5]);
    assert.match(refused.message, /^The volume can't be detached: \/data can't be unmounted/);
    assert.match(refused.hint ?? '', /--force/);
    faults.errors.set('volume.unmount', { code: 'not_supported', message: 'no such method' });
    faults.errors.set('volume.list', { code: 'not_supported', message: 'no such method' });
    assert.equal((await failure(vm.volumes.detach('data'))).code, 'not_supported');
    assert.deepEqual([vm.info.state, vm.info.volumes?.length], ['Running', 1]);
  });

  it('is free once its VMM has died and the instance lets go of it', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    house.host.crash(house.dir(vm.id));
    await vm.waitFor('Stopped');
    await vm.volumes.detach('data');
    const other = await house.engine.run('busybox', {
      volumes: [{ volume: 'data', path: '/data', mode: 'ro' }],
    });
    assert.equal(other.info.state, 'Running');
  });

  it('is not changed while the instance is paused or suspended', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox');
    await vm.pause();
    assert.equal((await failure(vm.volumes.attach({ volume: 'data', path: '/data' }))).code, 'invalid_state');
    await vm.suspend();
    assert.equal((await failure(vm.volumes.attach({ volume: 'data', path: '/data' }))).code, 'invalid_state');
  });

  it('waits for its instance to start where that is stopped', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.create({ image: 'busybox' });
    await vm.volumes.attach({ volume: 'data', path: '/data' });
    await vm.start();
    await vm.files.writeFile('/data/a', 'one');
    await vm.restart();
    assert.equal(await text(vm, '/data/a'), 'one');
  });
});

describe('a volume whose journal is being replayed for readers', () => {
  it('is not copied, removed, grown, exported or given to a writer meanwhile', async () => {
    await using house = await House.open();
    const { engine } = house;
    await newVolume(house);
    const writer = await engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await writer.delete({ force: true });
    const reader = await engine.run('busybox');
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const replaying = house.host.faults.reached('boot.init');
    const leaving = new AbortController();
    const attach = reader.volumes.attach(
      { volume: 'data', path: '/data', mode: 'ro' },
      { signal: leaving.signal },
    );
    await replaying;
    leaving.abort();
    await failure(attach);
    // Who it was for has left; the guest that writes to it has not.
    const other = await engine.create({ image: 'busybox' });
    for (const begun of [
      () => engine.volumes.clone('data', { name: 'copy' }),
      () => engine.volumes.remove('data'),
      () => engine.volumes.resize('data', '128MB'),
      () => Array.fromAsync(engine.volumes.export('data')),
      () => other.volumes.attach({ volume: 'data', path: '/data' }),
    ])
      assert.equal((await failure(begun())).code, 'busy', String(begun));
    house.host.faults.clear();
    await reader.volumes.attach({ volume: 'data', path: '/data', mode: 'ro' });
  });
});
