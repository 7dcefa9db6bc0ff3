import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { isVivError } from '@vivarium/model';
import fc from 'fast-check';
import { tarOf } from '../images/fixtures/tar-of.ts';
import { failure, House } from '../instances/fixtures/house.ts';
import { newVolume, silence, text } from './fixtures/volume-house.ts';

/** A call that will not be answered, because its daemon is about to be gone. */
function cutOff(promise: PromiseLike<unknown>): void {
  promise.then(undefined, () => undefined);
}

/** What is told of volumes agrees with what is in the machines, and no two write to one. */
async function expectAgreement(house: House): Promise<void> {
  const plugged = new Map<string, string[]>();
  for (const { volumes, spec } of house.host.alive())
    plugged.set(spec.dir, [...volumes.values()].map((disk) => path.basename(path.dirname(disk.path))).sort());
  for await (const { id, state, volumes = [] } of house.engine.all()) {
    const told = volumes.map(({ volumeId }) => volumeId).sort();
    if (state === 'Running') assert.deepEqual(plugged.get(house.dir(id)), told);
  }
  for (const { attachments } of await house.engine.volumes.list()) {
    const writers = attachments.filter(({ mode }) => mode === 'rw');
    assert.ok(writers.length === 0 || attachments.length === 1, JSON.stringify(attachments));
  }
}

describe('a daemon that is killed', () => {
  it('while a volume is plugged in leaves none, and it can be attached again', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox');
    house.host.faults.inject('plug-volume', { effect: 'hang' });
    const struck = house.host.faults.reached('plug-volume');
    cutOff(vm.volumes.attach({ volume: 'data', path: '/data' }));
    await struck;
    await house.reopen();
    await expectAgreement(house);
    const again = await house.engine.get(vm.id);
    assert.equal(again.info.volumes, undefined);
    await again.volumes.attach({ volume: 'data', path: '/data' });
    await again.files.writeFile('/data/a', 'one');
  });

  it('while a volume is mounted leaves none, in the machine neither', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox');
    const asked = silence(house, vm.id, 'volume.mount');
    cutOff(vm.volumes.attach({ volume: 'data', path: '/data' }));
    await asked;
    assert.equal(house.host.find(house.dir(vm.id))?.volumes.size, 1);
    house.host.guest(house.dir(vm.id)).faults.silent.clear();
    await house.reopen();
    await expectAgreement(house);
    assert.equal(house.host.find(house.dir(vm.id))?.volumes.size, 0);
    const other = await house.engine.run('busybox');
    await other.volumes.attach({ volume: 'data', path: '/data' });
  });

  it('while a volume is unmounted leaves it where it was, and usable', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.files.writeFile('/data/a', 'one');
    const struck = silence(house, vm.id, 'volume.unmount');
    cutOff(vm.volumes.detach('data'));
    await struck;
    house.host.guest(house.dir(vm.id)).faults.silent.clear();
    await house.reopen();
    await expectAgreement(house);
    const again = await house.engine.get(vm.id);
    assert.equal(await text(again, '/data/a'), 'one');
    await again.volumes.detach('data');
  });

  it('while a volume is unplugged takes it out, since its guest has let go of it for good', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.files.writeFile('/data/a', 'one');
    house.host.faults.inject('unplug-volume', { effect: 'hang' });
    const struck = house.host.faults.reached('unplug-volume');
    cutOff(vm.volumes.detach('data'));
    await struck;
    await house.reopen();
    await expectAgreement(house);
    const again = await house.engine.get(vm.id);
    assert.equal(again.info.volumes, undefined);
    assert.equal(house.host.find(house.dir(vm.id))?.volumes.size, 0);
    await again.volumes.attach({ volume: 'data', path: '/data' });
    assert.equal(await text(again, '/data/a'), 'one');
  });

  it('while an archive comes in leaves neither a volume nor the guest that unpacked it', async () => {
    await using house = await House.open();
    const reading = Promise.withResolvers<void>();
    const never = async function* () {
      yield tarOf([{ name: 'a', content: 'x'.repeat(100_000) }]).subarray(0, 50_000);
      reading.resolve();
      await new Promise(() => undefined);
    };
    cutOff(house.engine.volumes.import(never(), { name: 'half', size: '64MB' }));
    await reading.promise;
    assert.equal(house.host.alive().length, 1);
    await house.reopen();
    assert.deepEqual(house.host.alive(), []);
    assert.deepEqual(await house.engine.volumes.list(), []);
    assert.deepEqual(await readdir(path.join(house.home, 'volumes')), []);
    await newVolume(house, 'half');
  });

  it('before it has written down what became of an import finds it by the volume', async () => {
    await using house = await House.open();
    const archive = async function* () {
      yield tarOf([{ name: 'a', content: 'one' }]);
    };
    const ask = (name: string) => house.engine.volumes.import(archive(), { name, size: '64MB' }).detach();
    const { id } = await ask('site');
    const ended = await house.engine.operations.wait(id);
    await house.kill();
    house.sql(`UPDATE tasks SET ended_at = NULL, outcome = NULL, result = NULL WHERE id = '${id}'`);
    await house.open();
    const { state, result, resource } = await house.engine.operations.get(id);
    assert.deepEqual([state, result, resource], ['done', ended.result, ended.resource]);
    house.host.faults.inject('boot.init', { effect: 'hang' });
    const struck = house.host.faults.reached('boot.init');
    const cut = await ask('cut');
    await struck;
    house.host.faults.clear();
    await house.reopen();
    const report = await house.engine.operations.get(cut.id);
    assert.deepEqual(
      [report.state, report.error?.code, report.result],
      ['cancelled', 'cancelled', undefined],
    );
    assert.deepEqual(
      (await house.engine.volumes.list()).map(({ name }) => name),
      ['site'],
    );
  });

  it('while a live volume is copied leaves no copy, and the source as it was', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.files.writeFile('/data/a', 'one');
    house.host.faults.inject('add-layer', { effect: 'hang' });
    const struck = house.host.faults.reached('add-layer');
    cutOff(house.engine.volumes.clone('data', { name: 'copy' }));
    await struck;
    await house.reopen();
    assert.deepEqual(
      (await house.engine.volumes.list()).map(({ name }) => name),
      ['data'],
    );
    assert.equal((await readdir(path.join(house.home, 'volumes'))).length, 1);
    assert.equal(await text(await house.engine.get(vm.id), '/data/a'), 'one');
  });

  it('while a volume goes finds it gone', async () => {
    await using house = await House.open();
    const { id } = await newVolume(house);
    await house.kill();
    house.sql(`UPDATE volumes SET record = json_set(record, '$.phase', 'removing') WHERE id = '${id}'`);
    await house.open();
    assert.deepEqual(await house.engine.volumes.list(), []);
    assert.ok(!existsSync(path.join(house.home, 'volumes', id)));
  });

  it('whenever that is, finds attachments whole or not there', async () => {
    const turn = fc.record({
      instance: fc.nat(1),
      volume: fc.nat(1),
      act: fc.constantFrom('attach', 'attach ro', 'detach', 'force', 'stop', 'start', 'crash', 'suspend'),
      killAfter: fc.option(fc.nat(4), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(turn, { minLength: 4, maxLength: 12 }), async (turns) => {
        await using house = await House.open();
        const names = ['one', 'two'];
        for (const name of names) {
          await newVolume(house, `${name}-data`);
          await house.engine.run('busybox', { name });
        }
        for (const { instance, volume, act, killAfter } of turns) {
          const acting = one(house, names[instance] ?? '', `${names[volume]}-data`, act);
          if (killAfter === undefined) await acting;
          else {
            for (let n = 0; n < killAfter; n++) await new Promise((resolve) => setImmediate(resolve));
            await house.reopen();
          }
          await expectAgreement(house);
        }
      }),
      { numRuns: 12 },
    );
  });
});

async function one(house: House, name: string, volume: string, act: string): Promise<void> {
  const { engine } = house;
  try {
    const vm = await engine.get(name);
    const ways: Record<string, () => PromiseLike<unknown>> = {
      attach: () => vm.volumes.attach({ volume, path: `/${volume}` }),
      'attach ro': () => vm.volumes.attach({ volume, path: `/${volume}`, mode: 'ro' }),
      detach: () => vm.volumes.detach(volume),
      force: () => vm.volumes.detach(volume, { force: true }),
      stop: () => vm.stop({ force: true }),
      start: () => vm.start(),
      suspend: () => vm.suspend(),
      crash: async () => {
        if (vm.info.state !== 'Running') return;
        house.host.crash(house.dir(vm.id));
        await vm.waitFor('Stopped');
      },
    };
    await ways[act]?.();
  } catch (error) {
    // A refusal is an answer; a call of a daemon that was killed is answered by nobody.
    if (house.engine === engine) assert.ok(isVivError(error), String(error));
  }
}

describe('a lost database', () => {
  it('is made again from the records beside the disks, with who has which volume', async () => {
    await using house = await House.open();
    const { id } = await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.files.writeFile('/data/a', 'one');
    await house.kill();
    for (const suffix of ['', '-wal', '-shm'])
      await rm(path.join(house.home, `vivarium.db${suffix}`), { force: true });
    await house.open();
    const before = await house.engine.doctor();
    assert.ok(before.checks.some(({ name, status }) => name === 'volumes' && status === 'warning'));
    const { checks } = await house.engine.doctor({ rebuild: true });
    assert.ok(checks.some(({ name, status }) => name === `volume ${id}` && status === 'ok'));
    const found = await house.engine.volumes.get('data');
    assert.deepEqual([found.id, found.attachments.map(({ instanceId }) => instanceId)], [id, [vm.id]]);
    assert.equal(await text(await house.engine.get(vm.id), '/data/a'), 'one');
  });
});

describe('an archive', () => {
  it('becomes a volume, which becomes an archive', async () => {
    await using house = await House.open();
    const archive = async function* () {
      yield tarOf([{ name: 'dir/' }, { name: 'dir/file', content: 'content', uid: 5, mode: 0o4755 }]);
    };
    const made = await house.engine.volumes.import(archive(), { name: 'site', size: '64MB' });
    assert.equal(made.name, 'site');
    const vm = await house.engine.run('busybox', {
      volumes: [{ volume: 'site', path: '/site', mode: 'ro' }],
    });
    const stat = await vm.files.stat('/site/dir/file');
    assert.deepEqual([stat.uid, stat.mode, stat.sizeBytes], [5, 0o4755, 7]);
    const again = await house.engine.volumes.import(house.engine.volumes.export('site'), { size: '64MB' });
    await vm.volumes.attach({ volume: again.id, path: '/again', mode: 'ro' });
    assert.equal(await text(vm, '/again/dir/file'), 'content');
    assert.equal(house.host.alive().length, 1);
  });

  it('that is refused leaves nothing', async () => {
    await using house = await House.open();
    const hostile = async function* () {
      yield tarOf([
        { name: 'good', content: 'x' },
        { name: '../evil', content: 'x' },
      ]);
    };
    const refused = await failure(house.engine.volumes.import(hostile(), { name: 'evil', size: '64MB' }));
    assert.equal(refused.code, 'archive_hostile');
    assert.deepEqual(await house.engine.volumes.list(), []);
    assert.deepEqual(await readdir(path.join(house.home, 'volumes')), []);
    assert.deepEqual(house.host.alive(), []);
  });

  it('is refused for the host’s disk where that is full: the guest stands still then', async () => {
    await using house = await House.open();
    const full = async function* () {
      const whole = tarOf([{ name: 'a', content: 'x'.repeat(32 * 1024 ** 2) }]);
      yield whole.subarray(0, 512);
      house.host.alive()[0]?.freeze();
      yield whole.subarray(512);
    };
    const refused = await failure(house.engine.volumes.import(full(), { size: '64MB' }));
    assert.equal(refused.code, 'disk_full');
    assert.deepEqual(await house.engine.volumes.list(), []);
    assert.deepEqual(house.host.alive(), []);
  });

  it('is cut off by its caller, and nothing is left', async () => {
    await using house = await House.open();
    const abort = new AbortController();
    const endless = async function* () {
      yield tarOf([{ name: 'a', content: 'x'.repeat(1000) }]).subarray(0, 512);
      abort.abort();
      await new Promise(() => undefined);
    };
    const refused = await failure(
      house.engine.volumes.import(endless(), { size: '64MB', signal: abort.signal }),
    );
    assert.equal(refused.code, 'cancelled');
    assert.deepEqual(house.host.alive(), []);
  });
});

describe('a copy of a volume', () => {
  it('begins as its source is and is a volume of its own', async () => {
    await using house = await House.open();
    await newVolume(house);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    await vm.files.writeFile('/data/a', 'one');
    const copy = await house.engine.volumes.clone('data', { name: 'copy' });
    await vm.files.writeFile('/data/a', 'two');
    assert.deepEqual([copy.name, copy.readOnly, copy.attachments], ['copy', false, []]);
    await vm.volumes.attach({ volume: 'copy', path: '/copy' });
    assert.equal(await text(vm, '/copy/a'), 'one');
    await vm.volumes.detach('copy');
    await vm.suspend();
    assert.equal((await failure(house.engine.volumes.clone('data'))).code, 'conflict');
    await vm.discard();
    await house.engine.volumes.clone('data');
  });

  it('that is a snapshot is written to by nobody, and outlives its source', async () => {
    await using house = await House.open();
    const { id } = await newVolume(house);
    const kept = await house.engine.volumes.snapshot('data', { name: 'kept' });
    assert.deepEqual([kept.readOnly, kept.sourceId], [true, id]);
    await house.engine.volumes.remove('data');
    const vm = await house.engine.run('busybox');
    const refused = await failure(vm.volumes.attach({ volume: 'kept', path: '/kept', mode: 'rw' }));
    assert.equal(refused.code, 'conflict');
    assert.equal((await vm.volumes.attach({ volume: 'kept', path: '/kept' })).volumes?.[0]?.mode, 'ro');
    assert.equal((await failure(house.engine.volumes.resize('kept', '1GB'))).code, 'conflict');
    const again = await house.engine.volumes.clone('kept');
    await vm.volumes.attach({ volume: again.id, path: '/again' });
  });

  it('grows, and does not shrink, and not under those who read it', async () => {
    await using house = await House.open();
    const { volumes } = house.engine;
    await newVolume(house);
    assert.equal((await failure(volumes.resize('data', '32MB'))).code, 'invalid_size');
    assert.equal((await failure(volumes.resize('data', '63MB'))).code, 'invalid_size');
    assert.equal((await volumes.resize('data', '100MB')).sizeBytes, 100 * 1024 ** 2);
    const vm = await house.engine.run('busybox', { volumes: [{ volume: 'data', path: '/data' }] });
    assert.equal((await volumes.resize('data', '1GB')).sizeBytes, 1024 ** 3);
    await vm.volumes.detach('data');
    await vm.volumes.attach({ volume: 'data', path: '/data', mode: 'ro' });
    assert.equal((await failure(volumes.resize('data', '2GB'))).code, 'conflict');
    await vm.stop();
    await volumes.resize('data', '2GB');
    await vm.start();
  });
});
