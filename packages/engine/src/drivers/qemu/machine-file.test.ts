import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MachineSpec, SavedState, SavedStateManifest } from '../driver.ts';
import { machineFile } from './launch.ts';
import { machineRecord } from './record.ts';

const spec: Pick<MachineSpec, 'cpus' | 'memoryBytes' | 'boot' | 'guest' | 'disks' | 'publish'> = {
  cpus: 1,
  memoryBytes: 4096,
  boot: { kind: 'firmware' },
  guest: 'agent',
  disks: [],
  publish: [],
};
const qemu = { path: '/qemu', version: '7.2.22', machine: 'pc-q35-7.2' };

interface Host {
  accelerator?: 'tcg' | 'kvm';
  /** Of this host. */
  present?: number;
  guest?: MachineSpec['guest'];
}

function made({ accelerator = 'tcg', present, guest = 'agent' }: Host, from?: { tscKhz?: number }) {
  const state = from && ({ manifest: from as SavedStateManifest } as SavedState);
  const { shape, clockSource } = machineFile(
    { ...spec, guest } as MachineSpec,
    { qemu, accelerator, tscKhz: present },
    state,
  );
  return [shape.tscKhz, clockSource];
}

describe('what a machine remembers of the time stamp counter', () => {
  test('is the rate of the host it boots on', () => {
    assert.deepEqual(made({ present: 2_700_000 }), [2_700_000, undefined]);
  });

  test('stays that of the host it was booted on, and where that is another its guest is to be told', () => {
    const here = { present: 2_700_000 };
    assert.deepEqual(made(here, { tscKhz: 2_700_100 }), [2_700_100, undefined]);
    assert.deepEqual(made(here, { tscKhz: 2_400_000 }), [2_400_000, 'acpi_pm']);
  });

  test('may be nothing, and then its guest is to be told', () => {
    assert.deepEqual(made({ present: 2_700_000 }, {}), [undefined, 'acpi_pm']);
    assert.deepEqual(made({}, { tscKhz: 2_700_000 }), [2_700_000, 'acpi_pm']);
    assert.deepEqual(made({}), [undefined, 'acpi_pm']);
  });

  test('is nothing to a guest that is not ours, or that has a clock of KVM', () => {
    assert.deepEqual(made({ guest: 'none' }), [undefined, undefined]);
    assert.deepEqual(made({ accelerator: 'kvm' }, {}), [undefined, undefined]);
  });

  test('and of how its guest speaks to its devices is what it goes on from, and the smaller of the two where that is nothing', () => {
    const virtio = (guest: MachineSpec['guest'], from?: Pick<SavedStateManifest, 'virtio'>) =>
      machineFile(
        { ...spec, guest } as MachineSpec,
        { qemu, accelerator: 'tcg', tscKhz: undefined },
        from && ({ manifest: from as SavedStateManifest } as SavedState),
      ).shape.virtio;
    assert.deepEqual([virtio('agent'), virtio('none')], ['legacy', undefined]);
    assert.deepEqual([virtio('agent', { virtio: 'legacy' }), virtio('agent', {})], ['legacy', undefined]);
  });

  test('is found again by whoever adopts it', () => {
    const file = machineFile(spec as MachineSpec, { qemu, accelerator: 'tcg', tscKhz: undefined });
    const process = { pid: 1, startTime: 1, bootId: 'b' };
    const shim = { instanceId: 'a', shim: process, vmm: process, ports: [], launchedAt: '' };
    assert.equal(machineRecord('/dir', file, shim).clockSource, 'acpi_pm');
  });
});
