import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { Guest } from '../../guest/guest.ts';
import { findQemu } from '../../host/qemu.ts';
import { createImageStore } from '../../images/index.ts';
import { stateFiles, writeManifest } from '../../saved-states/manifest.ts';
import { isMachine } from '../conformance/bench.ts';
import {
  type Channel,
  type DiskSpec,
  type Driver,
  inheritedFrom,
  isMachineSaver,
  type Machine,
  type MachineSpec,
  type SavedState,
} from '../driver.ts';
import { RealMachines } from './real-machines.ts';

const run = promisify(execFile);
const guest = { generation: 1, hostname: 'saved', machineId: '0'.repeat(32) };

/** What the files of a saved machine are good for. */
describe('a QEMU machine that is saved', () => {
  let real: RealMachines;
  let layers: DiskSpec;
  const machines: Machine[] = [];
  before(async () => {
    real = await RealMachines.open();
    const store = await createImageStore({
      dir: path.join(real.home, 'images'),
      builtin: real.assets.images,
    });
    await store.recover();
    const { disk } = await store.disk((await store.ensure('busybox', 'missing')).digest);
    layers = { ...disk, serial: 'layers' };
  });
  afterEach(async () => {
    for (const machine of machines.splice(0)) {
      await machine.kill();
      await machine[Symbol.asyncDispose]();
    }
  });
  after(() => real[Symbol.asyncDispose]());

  const launch = async (spec: MachineSpec, driver: Driver = real.driver, from?: SavedState) => {
    const machine = await driver.launch(spec, undefined, from);
    machines.push(machine);
    return machine;
  };

  const ping = async (machine: Machine): Promise<void> => {
    const signal = AbortSignal.timeout(real.bootTimeoutMs);
    const connected = await real.connectGuest((channel) => machine.open(channel), signal);
    await connected.ping();
    await connected[Symbol.asyncDispose]();
  };

  let count = 0;
  const save = async (machine: Machine): Promise<SavedState> => {
    assert(isMachineSaver(machine));
    count += 1;
    const dir = path.join(real.home, `saved-${count}`);
    await mkdir(dir);
    const { manifest } = await machine.save({ dir, guest, afterwards: 'continue' });
    return writeManifest(dir, manifest, { durable: false });
  };

  /** The same machine, of a driver with another way to read its memory. */
  const adopted = async (machine: Machine, driver: Driver): Promise<Machine> => {
    machines.splice(machines.indexOf(machine), 1);
    await machine[Symbol.asyncDispose]();
    const found = await driver.adopt(machine.record.dir);
    assert(found && isMachine(found));
    machines.push(found);
    return found;
  };

  test('by QEMU itself has the same memory as by the shim, with a layers disk too, and goes on from it', async () => {
    const driver = real.restarted({ readMemory: 'vmm' });
    const told = await launch(await real.spec({ disks: [layers] }), driver);
    await ping(told);
    await told.pause();
    const byVmm = await save(told);
    assert.equal((await stat(path.join(byVmm.dir, stateFiles.memory))).mode & 0o777, 0o400);
    const byShim = await save(await adopted(told, real.driver));
    assert.equal(byVmm.manifest.memory.digest, byShim.manifest.memory.digest);
    assert.ok(byVmm.manifest.memory.dataBytes <= byShim.manifest.memory.dataBytes);
    assert.equal(byVmm.manifest.delta, undefined);
    const copy = await launch(await real.spec({ disks: [layers] }), driver, byVmm);
    await ping(copy);
    await ping(await launch(await real.spec({ disks: [layers] }), driver, await save(copy)));
  });

  /** QEMU with devices as its machines had them before they were made to have less to save. */
  const asBefore = async (): Promise<string> => {
    const file = path.join(real.home, 'qemu-as-before');
    const { path: qemu } = await findQemu();
    const text = `#!/bin/sh
n=$#
while [ "$n" -gt 0 ]; do
  a=$1; shift
  [ "$a" = virtio-pci.disable-modern=on ] && a=virtio-pci.disable-modern=off
  set -- "$@" "$a"
  n=$((n - 1))
done
exec '${qemu}' "$@"
`;
    await writeFile(file, text, { mode: 0o755 });
    return file;
  };

  test('by a version that had other devices goes on with those, and so does what is saved of it again', async () => {
    const before = real.restarted({ qemuPath: await asBefore() });
    const { dir, manifest } = await save(await launch(await real.spec({ disks: [layers] }), before));
    assert.equal(manifest.virtio, 'legacy');
    const told = { dir, manifest: { ...manifest, virtio: undefined } } as unknown as SavedState;
    const copy = await launch(await real.spec({ disks: [layers] }), real.driver, told);
    await ping(copy);
    const again = await save(copy);
    assert.equal(again.manifest.virtio, undefined);
    assert(again.manifest.devices.bytes > 100_000);
    await ping(await launch(await real.spec({ disks: [layers] }), real.driver, again));
    await assert.rejects(launch(await real.spec({ disks: [layers] }), real.driver, { dir, manifest }), {
      code: 'saved_state_mismatch',
    });
    const now = await save(await launch(await real.spec({ disks: [layers] })));
    assert(now.manifest.devices.bytes < 40_000);
  });

  test('is greeted before it runs, and answers to that once it does', async () => {
    const source = await launch(await real.spec({ disks: [layers] }));
    await ping(source);
    await save(source);
    // Differs little from the one before.
    const state = await save(source);
    const order: string[] = [];
    const expected = { inherited: inheritedFrom(state), dir: state.dir, state: Promise.resolve(state) };
    for (const from of [state, expected]) {
      let greeted: Promise<Guest> | undefined;
      const greet = ({ open }: Pick<Machine, 'open'>) => {
        const opened = (channel: Channel) => {
          order.push(channel);
          return open(channel);
        };
        greeted = real.connectGuest(opened, AbortSignal.timeout(real.bootTimeoutMs));
      };
      machines.push(await real.driver.launch(await real.spec({ disks: [layers] }), undefined, from, greet));
      order.push('launched');
      await (await greeted)?.ping();
    }
    assert.deepEqual(order, ['control', 'launched', 'control', 'launched']);
  });

  test('by QEMU itself has the memory above 4 GiB where it belongs', async () => {
    const memoryBytes = 0xb000_0000;
    const told = await launch(await real.spec({ memoryBytes }), real.restarted({ readMemory: 'vmm' }));
    await ping(told);
    await told.pause();
    const byVmm = await save(told);
    const byShim = await save(await adopted(told, real.driver));
    assert.equal(byVmm.manifest.memory.digest, byShim.manifest.memory.digest);
    await ping(await launch(await real.spec({ memoryBytes }), real.driver, byVmm));
  });

  /** A QEMU whose program may be executed but not read: the kernel lets nobody look into such a process, unless privileged. */
  const unreadable = async (): Promise<string> => {
    const { path: qemu } = await findQemu();
    const prefix = path.join(real.home, 'prefix');
    const copy = path.join(prefix, 'bin', path.basename(qemu));
    await mkdir(path.dirname(copy), { recursive: true });
    // It looks for firmware and modules from where it lies.
    for (const name of ['lib', 'share'])
      await symlink(path.resolve(qemu, '../..', name), path.join(prefix, name));
    await copyFile(qemu, copy);
    await chmod(copy, 0o111);
    return copy;
  };

  test('by a user without privileges who may not look into QEMU is saved all the same, and starts from a file of mode 0400', async () => {
    const options = { shimPath: real.assets.shim.path, accelerator: 'tcg', qemuPath: await unreadable() };
    const machine = { disks: [layers], detached: false };
    const [spec, copy] = [await real.spec(machine), await real.spec(machine)];
    const dir = path.join(real.home, 'unprivileged');
    await mkdir(dir);
    const script = `
      const use = (file) => import(new URL(file, ${JSON.stringify(import.meta.url)}).href);
      const { mkdir, stat } = await import('node:fs/promises');
      const { QemuDriver } = await use('./driver.ts');
      const { ShimClient } = await use('./shim-client.ts');
      const { writeManifest } = await use('../../saved-states/manifest.ts');
      const { connectGuest } = await use('../../guest/index.ts');
      const ping = async (machine) => {
        const guest = await connectGuest((channel) => machine.open(channel), AbortSignal.timeout(60_000));
        await guest.ping();
        await guest[Symbol.asyncDispose]();
      };
      const driver = new QemuDriver(${JSON.stringify(options)});
      const machine = await driver.launch(${JSON.stringify(spec)});
      await ping(machine);
      const shim = await ShimClient.connect(machine.record.dir);
      const asked = { address: 4096, bytes: 4096, into: ${JSON.stringify(path.join(dir, 'never'))} };
      const refused = await shim.request('memory_copy', asked).catch(({ code }) => code);
      shim.close();
      const target = { dir: ${JSON.stringify(dir)}, guest: ${JSON.stringify(guest)}, afterwards: 'stay' };
      const { manifest } = await machine.save(target);
      const { mode } = await stat(target.dir + '/memory');
      const state = await writeManifest(target.dir, manifest, { durable: false });
      await machine.kill();
      const restored = await driver.launch(${JSON.stringify(copy)}, undefined, state);
      await ping(restored);
      const again = ${JSON.stringify(path.join(real.home, 'unprivileged-again'))};
      await mkdir(again);
      const early = { ...target, dir: again, early: true, foreseen: async () => { throw new Error('foreseen'); } };
      await restored.save(early);
      await restored.kill();
      console.log(JSON.stringify({ refused, mode: mode & 0o777 }));`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    // Root is made one who has no privileges: neither is a set of capabilities regained with the next program.
    const least = ['setpriv', '--securebits', '+noroot,+noroot_locked', '--inh-caps', '-all', '--'];
    const [program = '', ...rest] = process.getuid?.() === 0 ? [...least, ...node] : node;
    const { stdout } = await run(program, rest, { timeout: 2 * real.bootTimeoutMs });
    assert.deepEqual(JSON.parse(stdout), { refused: 'not_supported', mode: 0o400 });
  });
});
