import assert from 'node:assert/strict';
import { mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { TemplateInfo } from '@vivarium/model';
import { countingVm, goesOn, killedAt, namesIn, saveSteps, settled } from '../instances/fixtures/copying.ts';
import { failure, House } from '../instances/fixtures/house.ts';
import { simulatedParts } from '../parts.ts';
import type { TemplateOptions } from './templates.ts';

/** No template is made in the background unless a test waits for it. */
const open = (templates: TemplateOptions = { backgroundDelayMs: 1_000_000 }) =>
  House.open('daemon', { templates });

const dirOf = (house: House, id = '') => path.join(house.home, 'templates', id);

async function only(house: House): Promise<TemplateInfo> {
  const [template, ...others] = await house.engine.templates.list();
  assert.ok(template);
  assert.deepEqual(others, []);
  return template;
}

/** Directories in which guests have booted, or gone on from saved memory. */
function guests(house: House): string[] {
  const seen: string[] = [];
  house.host.onGuest = (_, dir) => seen.push(path.basename(path.dirname(dir)));
  return seen;
}

const made = (names: string[]) => names.filter((name) => name.startsWith('.making-')).length;

/** What the engine has warned of so far. */
async function warnings(house: House): Promise<string> {
  const last = house.engine.lastEvent;
  const said: unknown[] = [];
  for await (const { seq, type, data } of house.engine.events({ since: 0 })) {
    if (type === 'warning') said.push(data.message);
    if (seq >= last) break;
  }
  return said.join('\n');
}

describe('the first start of its kind', () => {
  it('makes a template, and the next ones go on from it', async () => {
    await using house = await open();
    const seen = guests(house);
    const first = await countingVm(house);
    const { id, level, cpus } = await only(house);
    assert.deepEqual([level, cpus], ['kernel', first.info.cpus]);
    assert.equal(made(seen), 1);
    const second = await countingVm(house);
    assert.equal(made(seen), 1);
    assert.equal((await only(house)).id, id);
    const boots = [first, second].map(({ id }) => house.host.guest(house.dir(id)).bootId);
    assert.equal(new Set(boots).size, 1, 'both go on from the same boot');
    await goesOn(first, 1);
    await goesOn(second, 1);
    await settled(house);
    assert.deepEqual((await readdir(dirOf(house))).sort(), [id]);
  });

  it('is shared by all who come at once', async () => {
    await using house = await open();
    const seen = guests(house);
    await Promise.all(Array.from({ length: 8 }, () => house.engine.run('busybox')));
    assert.equal(made(seen), 1);
    await only(house);
    await settled(house);
  });

  it('goes on for the others when the one who began it is cancelled', async () => {
    await using house = await open();
    const seen = guests(house);
    const cancel = new AbortController();
    house.host.faults.inject('save.memory', { effect: 'delay', milliseconds: 50 });
    const struck = house.host.faults.reached('save.memory');
    const first = failure(house.engine.run('busybox', {}, { signal: cancel.signal }));
    const second = house.engine.run('busybox');
    await struck;
    cancel.abort();
    assert.equal((await first).code, 'cancelled');
    assert.equal((await second).info.state, 'Running');
    assert.equal(made(seen), 1);
    await only(house);
  });

  it('is another kind with other memory, other vCPUs, or another agent', async () => {
    await using house = await open();
    await house.engine.run('busybox');
    await house.engine.run('busybox', { cpus: 2 });
    await house.engine.run('busybox', { memory: '1GiB' });
    assert.equal((await house.engine.templates.list()).length, 3);
    await house.engine.close();
    const parts = await simulatedParts();
    parts.boot.digests.initramfs = 'sha256:another';
    await using other = await House.open('daemon', {
      boot: parts.boot,
      templates: { backgroundDelayMs: 1_000_000 },
    });
    await other.engine.run('busybox');
    const { id } = await only(other);
    await house.open();
    assert.ok((await house.engine.templates.list()).every((template) => template.id !== id));
  });

  it('is made anew where its guests would not keep time any more', async () => {
    await using house = await open();
    const seen = guests(house);
    await countingVm(house);
    const { createdAt } = await only(house);
    house.host.tscKhz += 100;
    await countingVm(house);
    assert.equal(made(seen), 1, 'it is near enough');
    house.host.tscKhz *= 2;
    await Promise.all([countingVm(house), countingVm(house)]);
    assert.equal(made(seen), 2);
    assert.notEqual((await only(house)).createdAt, createdAt);
    assert.equal(await warnings(house), '');
  });

  it('boots where no template can be made, with a warning, and is not tried again at once', async () => {
    for (const point of ['launch.after-spawn', 'open.control', ...saveSteps] as const) {
      await using house = await open();
      house.host.faults.inject(point, { effect: 'error' });
      const vm = await house.engine.run('busybox');
      assert.equal(vm.info.state, 'Running', point);
      assert.match(await warnings(house), /No template could be made/);
      const seen = guests(house);
      await house.engine.run('busybox');
      assert.equal(made(seen), 0);
      assert.deepEqual(await house.engine.templates.list(), []);
      assert.deepEqual(await readdir(dirOf(house)), []);
      await settled(house);
    }
  });

  it('leaves no VMM of a template that crashed', async () => {
    await using house = await open();
    house.host.faults.inject('save.devices', { effect: 'crash' });
    assert.equal((await house.engine.run('busybox')).info.state, 'Running');
    await settled(house);
    assert.deepEqual(await readdir(dirOf(house)), []);
  });

  it('boots cold where that is asked for', async () => {
    await using house = await open();
    const vm = await house.engine.create({ image: 'busybox' });
    await vm.start({ cold: true });
    assert.deepEqual(await house.engine.templates.list(), []);
  });
});

describe('a template that can not be loaded', () => {
  const damages = {
    'short memory': (dir: string) => truncate(path.join(dir, 'memory'), 10),
    'changed devices': (dir: string) => writeFile(path.join(dir, 'devices'), '{}'),
    'no memory': (dir: string) => rm(path.join(dir, 'memory')),
  };
  for (const [what, damage] of Object.entries(damages)) {
    it(`(${what}) is dropped, and the start boots with a warning`, async () => {
      await using house = await open();
      await house.engine.run('busybox');
      const { id } = await only(house);
      await damage(dirOf(house, id));
      await house.engine.run('busybox');
      assert.match(await warnings(house), /Booted without its template/);
      assert.deepEqual(await house.engine.templates.list(), []);
      await house.engine.run('busybox');
      assert.equal((await only(house)).id, id);
      await settled(house);
    });
  }

  it('is cleared away when the engine opens, where it is half made or makes no sense', async () => {
    await using house = await open();
    await house.engine.run('busybox');
    const { id } = await only(house);
    await mkdir(dirOf(house, '.making-abc/machine'), { recursive: true });
    await mkdir(dirOf(house, 'nonsense'));
    await house.reopen();
    assert.deepEqual(await readdir(dirOf(house)), [id]);
    await rm(path.join(dirOf(house, id), 'template.json'));
    await house.reopen();
    assert.deepEqual(await readdir(dirOf(house)), []);
  });
});

describe('the template of an image', () => {
  it('is made after a start, and the next VM of the image goes on with its root mounted', async () => {
    await using house = await open({ backgroundDelayMs: 0 });
    await house.engine.run('busybox');
    const [, image] = await house.engine.templates.warm({ image: 'busybox' });
    assert.equal(image?.level, 'image');
    const vm = await countingVm(house);
    const { system } = house.host.guest(house.dir(vm.id));
    assert.deepEqual(
      system.identities.map(({ hostname, copy }) => [hostname, copy]),
      [
        ['v', false],
        [vm.name, false],
      ],
    );
    assert.equal(system.warmed, 1);
    await goesOn(vm, 1);
    await settled(house);
  });

  it('is for what has never run: what has goes on from a bare kernel', async () => {
    await using house = await open();
    await house.engine.templates.warm({ image: 'busybox' });
    const vm = await house.engine.run('busybox');
    assert.equal(house.host.guest(house.dir(vm.id)).system.identities.length, 2);
    await vm.stop();
    await vm.start();
    assert.equal(house.host.guest(house.dir(vm.id)).system.identities.length, 1);
  });

  it('goes with its image', async () => {
    await using house = await open();
    await house.engine.templates.warm({ image: 'busybox' });
    assert.equal((await house.engine.templates.list()).length, 2);
    await house.engine.images.remove('busybox');
    assert.equal((await only(house)).level, 'kernel');
  });
});

describe('room for templates', () => {
  it('is kept for those that were used last', async () => {
    await using house = await open();
    await house.engine.run('busybox');
    const { sizeBytes, id: first } = await only(house);
    await house.engine.close();
    const templates = { maxBytes: 2 * sizeBytes + 100, backgroundDelayMs: 1_000_000 };
    await using small = await open(templates);
    for (const cpus of [1, 2, 1, 3]) {
      await small.engine.run('busybox', { cpus });
      // Their order is that of their files, which know milliseconds.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const left = await small.engine.templates.list();
    assert.deepEqual(left.map(({ cpus }) => cpus).sort(), [1, 3]);
    assert.ok(first);
    await house.open();
  });

  it('is given back by hand, and VMs that came from there go on', async () => {
    await using house = await open();
    const vm = await countingVm(house);
    const { id } = await only(house);
    const { freedBytes } = await house.engine.templates.remove(id.slice(0, 6));
    assert.ok(freedBytes > 0);
    await goesOn(vm, 1);
    await vm.suspend();
    await vm.start();
    await goesOn(vm, 2);
    assert.equal((await failure(house.engine.templates.remove(id))).code, 'not_found');
    await house.engine.run('busybox');
    await only(house);
    await house.engine.templates.clear();
    assert.deepEqual(await readdir(dirOf(house)), []);
  });

  it('can be cleared while a start goes on from it', async () => {
    await using house = await open();
    await house.engine.run('busybox');
    house.host.faults.inject('launch.before-spawn', { effect: 'delay', milliseconds: 30 });
    const struck = house.host.faults.reached('launch.before-spawn');
    const run = house.engine.run('busybox');
    await struck;
    await house.engine.templates.clear();
    assert.equal((await run).info.state, 'Running');
    await settled(house);
  });
});

describe('an engine that goes while a template is made', () => {
  const points = ['launch.after-spawn', 'open.control', ...saveSteps] as const;
  for (const point of points) {
    it(`closes at ${point} and leaves no VMM and no file`, async () => {
      const house = await open();
      house.host.faults.inject(point, { effect: 'hang' });
      const struck = house.host.faults.reached(point);
      const warm = failure(house.engine.templates.warm());
      await struck;
      await house.engine.close();
      await warm;
      assert.deepEqual(house.host.alive(), []);
      assert.deepEqual(await readdir(dirOf(house)), []);
      await rm(house.home, { recursive: true });
    });

    it(`is killed at ${point}, and the next one finds no VMM and no file`, async () => {
      await using house = await open();
      await killedAt(house, point, () => house.engine.templates.warm());
      assert.deepEqual(await namesIn(dirOf(house)), []);
      await settled(house);
      await house.engine.run('busybox');
      await only(house);
    });
  }
});
