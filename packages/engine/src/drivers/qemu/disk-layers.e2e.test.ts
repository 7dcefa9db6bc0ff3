import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  commitLayer,
  createRootDisk,
  minimumRootBytes,
  newLayerFor,
  planMerge,
  rootDiskInfo,
  rootLayers,
  settleLayer,
  shareLayers,
} from '../../disks/index.ts';
import type { Guest } from '../../guest/guest.ts';
import { createImageStore } from '../../images/index.ts';
import { writeManifest } from '../../saved-states/manifest.ts';
import { isMachine, withCode } from '../conformance/bench.ts';
import {
  type DiskSpec,
  type Inherited,
  isDiskGrower,
  isDiskLayerer,
  isDiskMerger,
  isMachineSaver,
  type LayerMerge,
  type Machine,
  type MachineSpec,
  type SavedState,
  type SaveTarget,
} from '../driver.ts';
import { topNode } from './disk-layers.ts';
import { QmpClient } from './qmp.ts';
import { RealMachines } from './real-machines.ts';
import { readShimFile } from './record.ts';

const run = promisify(execFile);

/** A guest of the image busybox, whose root disk gets layers while it runs. */
describe('a root disk of a running QEMU machine', () => {
  let real: RealMachines;
  let image: { disk: DiskSpec; layers: number };
  const living: AsyncDisposable[] = [];
  before(async () => {
    real = await RealMachines.open();
    const store = await createImageStore({
      dir: path.join(real.home, 'images'),
      builtin: real.assets.images,
    });
    await store.recover();
    image = await store.disk((await store.ensure('busybox', 'missing')).digest);
  });
  afterEach(async () => {
    for (const each of living.splice(0).reverse()) await each[Symbol.asyncDispose]();
  });
  after(() => real[Symbol.asyncDispose]());

  const keep = <T extends Machine>(machine: T): T => {
    living.push({
      [Symbol.asyncDispose]: async () => {
        await machine.kill();
        await machine[Symbol.asyncDispose]();
      },
    });
    return machine;
  };

  /** Boots what is in `spec.dir`, where it has no disk yet with a new one. */
  const boot = async (spec: MachineSpec) => {
    const disks: DiskSpec[] = [
      { ...image.disk, serial: 'layers' },
      { serial: 'root', path: path.join(spec.dir, 'root.qcow2'), format: 'qcow2', readOnly: false },
    ];
    const machine = keep(await real.driver.launch({ ...spec, disks }));
    assert(isDiskLayerer(machine) && isDiskGrower(machine));
    const guest = await connect(machine);
    await guest.configure({
      hostname: 'layers',
      machineId: '0'.repeat(32),
      generation: 1,
      entropy: new Uint8Array(64),
      clockNanos: BigInt(Date.now()) * 1_000_000n,
      root: { layers: image.layers, layersSerial: 'layers', overlaySerial: 'root' },
    });
    await guest.startWorkload({
      id: 'root',
      argv: ['sleep', '10000'],
      env: {},
      cwd: '/',
      user: '',
      stdin: 'null',
      output: 'retain',
    });
    return { machine, guest };
  };

  const connect = async (machine: Machine): Promise<Guest> => {
    const guest = await real.connectGuest(
      (channel) => machine.open(channel),
      AbortSignal.timeout(real.bootTimeoutMs),
    );
    living.push(guest);
    return guest;
  };

  const shell = async (guest: Guest, script: string): Promise<string> => {
    const session = await guest.exec({
      execId: crypto.randomUUID(),
      target: 'root',
      argv: ['sh', '-c', script],
      env: {},
      stdin: false,
    });
    const text: Uint8Array[] = [];
    for await (const { data } of session.output) text.push(data);
    return Buffer.concat(text).toString();
  };

  const newDisk = async (): Promise<MachineSpec> => {
    const spec = await real.spec();
    const [file, bases] = [path.join(spec.dir, 'root.qcow2'), path.join(real.home, 'disks')];
    await createRootDisk({ path: file, bases, bytes: minimumRootBytes });
    return spec;
  };

  test('freezes at once for others, grows, and is found again', async () => {
    const spec = await newDisk();
    const { machine, guest } = await boot(spec);
    await shell(guest, 'echo before > /word; sync');
    assert.equal(await machine.topLayer('root'), path.join(spec.dir, 'root.qcow2'));
    const { next, frozen } = await newLayerFor(spec.dir);
    await machine.addLayer('root', next);
    assert.equal(await machine.topLayer('root'), next);
    await commitLayer(spec.dir);
    const old = await readFile(frozen);

    const copy = await real.spec();
    await shareLayers(spec.dir, copy.dir, { top: 'new' });
    const clone = await boot(copy);
    assert.equal(
      await shell(clone.guest, 'cat /word; echo clone > /word; sync; cat /word'),
      'before\nclone\n',
    );
    assert.equal(await shell(guest, 'cat /word; echo after > /word; sync; cat /word'), 'before\nafter\n');
    assert.deepEqual(await readFile(frozen), old, 'nobody wrote to it');

    const again = await newLayerFor(spec.dir);
    assert.equal(again.frozen, next);
    await machine.addLayer('root', again.next);
    await machine.growDisk('root', 2 * minimumRootBytes);
    await machine[Symbol.asyncDispose]();
    await guest[Symbol.asyncDispose]();

    const found = await real.restarted().adopt(spec.dir);
    assert(found && isMachine(found) && isDiskLayerer(found) && isDiskGrower(found));
    keep(found);
    await settleLayer(spec.dir, await found.topLayer('root'));
    await settleLayer(copy.dir, await clone.machine.topLayer('root'));
    assert.deepEqual((await rootLayers(spec.dir)).length, 3);
    await found.growDisk('root', 3 * minimumRootBytes);
    assert.equal((await rootDiskInfo(again.next)).bytes, 3 * minimumRootBytes);
    assert.equal((await rootDiskInfo(again.frozen)).bytes, minimumRootBytes);
    const joined = await connect(found);
    await joined.growRoot();
    assert.equal(await shell(joined, 'cat /word; echo last > /word; sync'), 'after\n');
    await found.kill();
    for (const name of await rootLayers(spec.dir))
      await run('qemu-img', ['check', path.join(spec.dir, name)]);
    const third = await boot({ ...spec });
    assert.equal(await shell(third.guest, 'cat /word'), 'last\n');
  });

  test('stays as it is when the new layer is refused', async () => {
    const spec = await newDisk();
    const { machine, guest } = await boot(spec);
    const before = await machine.topLayer('root');
    await assert.rejects(machine.addLayer('root', path.join(spec.dir, 'absent')), withCode('vmm_failed'));
    await assert.rejects(machine.addLayer('other', path.join(spec.dir, 'absent')), withCode('vmm_failed'));
    assert.equal(await machine.topLayer('root'), before);
    assert.equal(await shell(guest, 'echo on > /word; sync; cat /word'), 'on\n');
  });

  /** A file of its own in each of so many layers, the first one large. */
  const layered = async (spec: MachineSpec, count: number) => {
    const { machine, guest } = await boot(spec);
    await shell(guest, 'head -c 6000000 /dev/urandom > /large; md5sum /large > /sum; sync');
    for (let number = 1; number <= count; number++) {
      const { next } = await newLayerFor(spec.dir);
      await machine.addLayer('root', next);
      await commitLayer(spec.dir);
      await shell(guest, `echo ${number} > /word-${number}; sync`);
    }
    return { machine, guest };
  };
  const words = (count: number) => Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('');
  const seen = 'md5sum -c -s /sum && cat $(ls /word-* | sort -t- -k2n)';
  const filesOf = async (pid: number) => {
    const dir = `/proc/${pid}/fd`;
    const files = await Promise.all(
      (await readdir(dir)).map((fd) => readlink(path.join(dir, fd)).catch(() => '')),
    );
    return files.filter((file) => /root\..*qcow2|root\.qcow2/.test(file));
  };
  const openFiles = async (machine: Machine) => (await filesOf(machine.record.vmm.pid)).length;

  test('is merged while the guest writes, down to what is large, and nothing that was merged stays open', async () => {
    const spec = await newDisk();
    const { machine, guest } = await layered(spec, 9);
    assert(isDiskMerger(machine));
    const plan = await planMerge(spec.dir);
    assert.deepEqual([plan?.layers, plan?.kept], [9, 1]);
    const writing = shell(guest, 'i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i > /now; sync; done');
    await machine.mergeLayers('root', plan as LayerMerge, AbortSignal.timeout(60_000));
    await settleLayer(spec.dir, await machine.topLayer('root'));
    assert.equal((await rootLayers(spec.dir)).length, 2);
    assert.equal(await openFiles(machine), 2);
    await writing;
    assert.equal(await shell(guest, `${seen}; cat /now`), `${words(9)}20\n`);
    // And it goes on taking layers.
    const { next } = await newLayerFor(spec.dir);
    await machine.addLayer('root', next);
    await commitLayer(spec.dir);
    await machine.growDisk('root', 2 * minimumRootBytes);
    await shell(guest, 'sync');
    await machine.kill();
    for (const name of await rootLayers(spec.dir))
      await run('qemu-img', ['check', path.join(spec.dir, name)]);
    assert.equal(await shell((await boot(spec)).guest, seen), words(9));
  });

  test('is as it was when a merge is cut off, also by a kill of whoever began it', async () => {
    const spec = await newDisk();
    const { machine, guest } = await layered(spec, 9);
    assert(isDiskMerger(machine));
    const plan = { base: 'root.base.raw', layers: 9, kept: 0 };
    const before = await rootLayers(spec.dir);
    await assert.rejects(machine.mergeLayers('root', plan, AbortSignal.abort()), { name: 'AbortError' });
    assert.deepEqual(await rootLayers(spec.dir), before);
    await machine[Symbol.asyncDispose]();
    await guest[Symbol.asyncDispose]();

    // As slow as can be: it is still under way when the next one comes.
    const qmp = await QmpClient.connect(spec.dir, 'qmp.sock');
    const device = await topNode((command, args) => qmp.execute(command, args), 'root');
    await qmp.execute('block-stream', { 'job-id': 'merge-root', device, speed: 1, 'auto-dismiss': false });
    qmp.close();
    const found = await real.restarted().adopt(spec.dir);
    assert(found && isMachine(found) && isDiskMerger(found) && isDiskLayerer(found));
    keep(found);
    await found.settleMerge('root');
    await settleLayer(spec.dir, await found.topLayer('root'));
    assert.deepEqual(await rootLayers(spec.dir), before);
    await found.mergeLayers('root', plan, AbortSignal.timeout(60_000));
    await settleLayer(spec.dir, await found.topLayer('root'));
    assert.deepEqual(await rootLayers(spec.dir), ['root.qcow2']);
    assert.equal(await openFiles(found), 1);
    assert.equal(await shell(await connect(found), seen), words(9));
  });

  /** The name of each file is the digest of what is in it; hundreds come and go. */
  const writer =
    'mkdir -p /d; i=0; while [ ! -e /stop ]; do i=$((i+1)); head -c 30000 /dev/urandom > /new; ' +
    '[ $((i % 40)) = 0 ] && rm /d/*; mv /new /d/$(md5sum < /new | cut -c1-32); [ $((i % 5)) = 0 ] && sync; ' +
    'echo $i > /i; done; touch /stopped';
  const checked =
    'touch /stop; until [ -e /stopped ]; do :; done; sync; echo 3 > /proc/sys/vm/drop_caches; cd /d; n=0; ' +
    'for f in *; do n=$((n+1)); [ $(md5sum < $f | cut -c1-32) = $f ] || echo $f; done; [ $n -gt 0 ] && echo whole';

  test('is whole in a machine whose VMM has opened it long before it was written last', async () => {
    const spec = await newDisk();
    const { machine, guest } = await boot(spec);
    assert(isMachineSaver(machine));
    const about = { generation: 1, hostname: 'layers', machineId: '0'.repeat(32) };
    const save = async (name: string, target: Partial<SaveTarget>) => {
      const dir = path.join(real.home, name);
      await mkdir(dir);
      const most = { mostDeltaBytes: 32 * 2 ** 20 };
      const { manifest } = await machine.save({
        dir,
        guest: about,
        afterwards: 'continue',
        ...most,
        ...target,
      });
      return writeManifest(dir, manifest, { durable: false });
    };
    await save('whole', {});
    void shell(guest, writer).catch(() => undefined);
    const written = async () => Number(await shell(guest, 'cat /i'));
    // In the last round more than a difference may have, so that another VMM has to be made. In every other one that is not looked for before.
    for (const [round, much] of [false, false, false, true].entries()) {
      const { next, frozen } = await newLayerFor(spec.dir);
      const copy = await real.spec();
      await shareLayers(spec.dir, copy.dir, { top: 'prepared' });
      const root = {
        serial: 'root',
        path: path.join(copy.dir, 'root.qcow2'),
        format: 'qcow2',
        readOnly: false,
      };
      const disks = [{ ...image.disk, serial: 'layers' }, root] as DiskSpec[];
      const state = Promise.withResolvers<SavedState>();
      let launch: Promise<Machine> | undefined;
      const foreseen = async (inherited: Inherited) => {
        const dir = path.join(real.home, String(round));
        launch = real.driver.launch({ ...copy, disks }, undefined, { dir, state: state.promise, inherited });
        const opened = async () => {
          const vmm = (await readShimFile(copy.dir))?.vmm;
          return (
            vmm && (await filesOf(vmm.pid)).some((file) => path.basename(file) === path.basename(frozen))
          );
        };
        while (!(await opened())) await turn();
        const known = await written();
        while ((await written()) < known + 60) await turn();
        if (much) await shell(guest, 'yes | head -c 36000000 > /much; sync; rm /much');
      };
      const atPause = async () => {
        await machine.addLayer('root', next);
        await commitLayer(spec.dir);
      };
      state.resolve(save(String(round), { foreseen, atPause, early: round % 2 === 1 }));
      assert((await state.promise) && launch, 'it was foreseen');
      assert.equal((await state.promise).manifest.delta === undefined, much);
      const clone = keep(await launch);
      const theirs = await connect(clone);
      assert.equal(await shell(theirs, checked), 'whole\n');
      await theirs[Symbol.asyncDispose]();
      await clone.kill();
      await sound(copy.dir);
    }
    await machine.kill();
    await sound(spec.dir);
  });

  /** To QEMU, and to the guest once it has gone through its journal. */
  const sound = async (dir: string) => {
    for (const name of await rootLayers(dir)) await run('qemu-img', ['check', path.join(dir, name)]);
    const flat = path.join(dir, 'flat.raw');
    await run('qemu-img', ['convert', '-O', 'raw', path.join(dir, 'root.qcow2'), flat]);
    await run('/usr/sbin/e2fsck', ['-y', '-E', 'journal_only', flat]);
    await run('/usr/sbin/e2fsck', ['-f', '-n', flat]);
  };
});
