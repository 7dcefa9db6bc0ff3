import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { Guest } from '../../guest/guest.ts';
import { chunked, tarOf } from '../../images/fixtures/tar-of.ts';
import { writeManifest } from '../../saved-states/manifest.ts';
import {
  isMachineSaver,
  isVolumePlugger,
  type Machine,
  type MachineSpec,
  type VolumeDisk,
  type VolumePlugger,
} from '../driver.ts';
import { type Bench, withCode } from './bench.ts';

const serial = 'volume';
const mount = { serial, path: '/data', layer: serial } as const;

/** Disks that come and go while a machine lives. For drivers whose capabilities say that they can. */
export function volumeTests(bench: Bench): void {
  const launched = async (overrides: Partial<MachineSpec> = {}): Promise<Machine & VolumePlugger> => {
    assert(bench.context.driver.capabilities().volumes, 'the driver announces volumes');
    const machine = await bench.launch(overrides);
    assert(isVolumePlugger(machine));
    return machine;
  };
  const volume = async (more: Partial<VolumeDisk> = {}): Promise<VolumeDisk> => ({
    ...(await bench.context.volume()),
    serial,
    unit: 3,
    ...more,
  });

  test('a volume goes in and out of a live machine, and takes along what was written to it', async () => {
    const disk = await volume();
    const first = await launched();
    const guest = await bench.connect(first);
    await first.plugVolume(disk);
    assert.deepEqual(await first.pluggedVolumes(), [serial]);
    await guest.mountVolume({ ...mount, mode: 'rw' });
    await write(guest, 'kept');
    await guest.unmountVolume(serial, { force: false });
    await first.unplugVolume(serial);
    assert.deepEqual(await first.pluggedVolumes(), []);
    await read(await bench.connect(await launched({ disks: [{ ...disk, readOnly: true }] })), 'kept', 'ro');
  });

  test('one that is there from the launch is like one that came later', async () => {
    const machine = await launched({ disks: [await volume({ unit: 0 })] });
    const guest = await bench.connect(machine);
    assert.deepEqual(await machine.pluggedVolumes(), [serial]);
    await guest.mountVolume({ ...mount, mode: 'rw' });
    await write(guest, 'x');
    await guest.unmountVolume(serial, { force: false });
    await machine.unplugVolume(serial);
    const other = await volume({ serial: 'other', unit: 0 });
    await machine.plugVolume(other);
    await guest.mountVolume({ ...mount, serial: 'other', mode: 'rw' });
  });

  test('a guest that has let go of a disk finds it again when that has been out', async () => {
    const disk = await volume();
    const machine = await launched();
    const guest = await bench.connect(machine);
    await machine.plugVolume(disk);
    await guest.mountVolume({ ...mount, mode: 'rw' });
    await write(guest, 'kept');
    for (let n = 0; n < 5; n++) {
      await guest.unmountVolume(serial, { force: false });
      await machine.unplugVolume(serial);
      await machine.plugVolume({ ...disk });
      await read(guest, 'kept', 'rw');
    }
  });

  test('what is there already, or is not there, is no error', async () => {
    const machine = await launched();
    const disk = await volume();
    await machine.unplugVolume(serial);
    await machine.plugVolume(disk);
    await machine.plugVolume(disk);
    await machine.unplugVolume(serial);
    await machine.unplugVolume(serial);
    await machine.plugVolume(disk);
    assert.deepEqual(await machine.pluggedVolumes(), [serial]);
  });

  test('one machine writes to a volume, or several read it', async () => {
    const disk = await volume();
    const [one, two] = [await launched(), await launched()];
    await one.plugVolume(disk);
    for (const readOnly of [false, true])
      await assert.rejects(two.plugVolume({ ...disk, readOnly }), withCode('vmm_failed'));
    assert.deepEqual(await two.pluggedVolumes(), []);
    await one.unplugVolume(serial);
    for (const machine of [one, two]) await machine.plugVolume({ ...disk, readOnly: true });
    await one.kill();
    await two.unplugVolume(serial);
    await two.plugVolume(disk);
  });

  test('whoever finds the machine again can take the volume out', async () => {
    const machine = await launched();
    await machine.plugVolume(await volume());
    await bench.abandon(machine);
    const found = await bench.adopt(machine.record.dir);
    assert(isVolumePlugger(found));
    assert.deepEqual(await found.pluggedVolumes(), [serial]);
    await found.unplugVolume(serial);
    assert.deepEqual(await found.pluggedVolumes(), []);
  });

  test('a machine is restored with the volumes it was saved with, and not without', async () => {
    const disk = await volume();
    const spec = await bench.context.countingSpec();
    const machine = await bench.launchSpec(spec);
    assert(isVolumePlugger(machine) && isMachineSaver(machine));
    await machine.plugVolume(disk);
    const guest = await bench.connect(machine);
    await guest.mountVolume({ ...mount, mode: 'rw' });
    await write(guest, 'kept');
    await guest[Symbol.asyncDispose]();
    const dir = await mkdtemp(path.join(path.dirname(spec.dir), 'saved-'));
    try {
      const identity = { generation: 1, hostname: 'web', machineId: '0'.repeat(32) };
      const { manifest } = await machine.save({ dir, guest: identity, afterwards: 'stay' });
      await writeManifest(dir, manifest, { durable: false });
      await machine.kill();
      assert.deepEqual(manifest.shape.devices, [`volume:${serial}`]);
      await assert.rejects(bench.restore({ dir, manifest }), withCode('saved_state_mismatch'));
      const restored = await bench.restore({ dir, manifest }, { disks: [disk] });
      await read(await bench.connect(restored), 'kept', 'rw');
    } finally {
      await rm(dir, { recursive: true });
    }
  });
}

async function write(guest: Guest, content: string): Promise<void> {
  await guest.copyIn('vm', '/data', chunked(tarOf([{ name: 'file', content }])));
}

async function read(guest: Guest, content: string, mode: 'rw' | 'ro'): Promise<void> {
  await guest.mountVolume({ ...mount, mode });
  assert.equal((await guest.stat('vm', '/data/file', false)).sizeBytes, content.length);
}
