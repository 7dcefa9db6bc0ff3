import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isVivError, VivError } from '@vivarium/model';
import { bootId } from '../../host/identity.ts';
import { identityOf } from '../../saved-states/check.ts';
import type { MachineSpec, SavedState, SavedStateManifest } from '../driver.ts';
import type { MachineFile } from './record.ts';
import { checkFits, finishLoading, loadFailure } from './restore.ts';

const memoryBytes = 256 * 2 ** 20;
const boot = { kernel: 'sha256:kernel', initramfs: 'sha256:agent' };
const devices = ['disk:layers', 'disk:root', 'nic'];

/** The machine at hand. */
const machine: MachineFile = {
  format: 1,
  vmmName: 'qemu',
  vmmVersion: '7.2.22',
  accelerator: 'tcg',
  machine: 'pc-q35-7.2',
  guestPorts: [],
  shape: { cpus: 2, memoryBytes, devices, cpu: 'qemu64', boot },
};
const volume = { serial: 'data', path: '/v', format: 'qcow2', readOnly: false, unit: 0 } as const;
const spec = { cpus: 2, memoryBytes, disks: [volume] as MachineSpec['disks'] } as MachineSpec;

describe('a saved state and the machine at hand', () => {
  let dir: string;
  let manifest: SavedStateManifest;
  const digests = async (files: readonly string[]) => files.map(() => ({ bytes: 7, digest: 'xxh3:1' }));
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'viv-fits-'));
    for (const name of ['memory', 'devices']) await writeFile(path.join(dir, name), 'content');
    manifest = {
      format: 1,
      driver: 'qemu',
      savedAt: '2026-01-01T00:00:00Z',
      bootId: await bootId(),
      vmm: { name: 'qemu', version: '7.2.22', machine: 'pc-q35-7.2', accelerator: 'tcg', cpu: 'qemu64' },
      shape: { cpus: 2, memoryBytes, devices },
      boot,
      guest: { was: 'running', generation: 1, hostname: 'web', machineId: '0' },
      memory: {
        bytes: 7,
        dataBytes: 7,
        digest: 'xxh3:1',
        ...identityOf(await stat(path.join(dir, 'memory'), { bigint: true })),
      },
      devices: { bytes: 7, digest: 'xxh3:1' },
    };
  });
  afterEach(() => rm(dir, { recursive: true }));

  const fits = (changed: Partial<SavedStateManifest> = {}, present: Partial<MachineFile> = {}) =>
    checkFits({ dir, manifest: { ...manifest, ...changed } }, spec, { ...machine, ...present }, digests);

  test('fit where they are the same, and where the machine has more devices', async () => {
    await fits();
    await fits({ shape: { ...manifest.shape, devices: ['disk:root'] } });
    await fits({ shape: { ...manifest.shape, devices: ['disk:root', 'volume:data'] } });
    await fits({ shape: { ...manifest.shape, devices: [] } });
  });

  test('fit where QEMU is as new or newer, by number, and not where it is older', async () => {
    const versions: [saved: string, present: string, fit: boolean][] = [
      ['7.2.22', '7.2.22', true],
      ['7.2.9', '7.2.22', true],
      ['7.2.22', '10.0.2', true],
      ['7.2', '7.2.1', true],
      ['7.2.22', '7.2.9', false],
      ['8.0.0', '7.2.22', false],
      ['10.0.0', '9.2.4', false],
      ['7.2.1', '7.2', false],
    ];
    for (const [version, vmmVersion, fit] of versions) {
      const fitting = fits({ vmm: { ...manifest.vmm, version } }, { vmmVersion });
      if (fit) await fitting;
      else
        await assert.rejects(
          fitting,
          (error) =>
            isVivError(error, 'saved_state_mismatch') &&
            error.message === `It was saved with QEMU ${version}; this is ${vmmVersion}`,
        );
    }
  });

  test('do not fit where anything that the guest can see is another, which is told with a way out', async () => {
    const { vmm, shape } = manifest;
    const others: [what: string, changed: Partial<SavedStateManifest>][] = [
      ['the driver cloud-hypervisor; this is qemu', { driver: 'cloud-hypervisor' }],
      ['the machine type pc-q35-6.0; this is pc-q35-7.2', { vmm: { ...vmm, machine: 'pc-q35-6.0' } }],
      ['the accelerator kvm; this is tcg', { vmm: { ...vmm, accelerator: 'kvm' } }],
      ['the CPU host; this is qemu64', { vmm: { ...vmm, cpu: 'host' } }],
      ['the number of vCPUs 1; this is 2', { shape: { ...shape, cpus: 1 } }],
      [`memory of 4096; this is ${memoryBytes}`, { shape: { ...shape, memoryBytes: 4096 } }],
      ['the kernel sha256:x; this is sha256:kernel', { boot: { ...boot, kernel: 'sha256:x' } }],
      ['the agent sha256:x; this is sha256:agent', { boot: { ...boot, initramfs: 'sha256:x' } }],
      [
        'the devices disk:root disk:data; this is disk:layers disk:root nic volume:data',
        { shape: { ...shape, devices: ['disk:root', 'disk:data'] } },
      ],
    ];
    for (const [what, changed] of others) {
      await assert.rejects(fits(changed), {
        code: 'saved_state_mismatch',
        message: `It was saved with ${what}`,
        hint: /viv start --cold/,
      });
    }
    assert.deepEqual((await readdir(dir)).sort(), ['devices', 'memory']);
  });

  test('that fit are still looked through for damage', async () => {
    await writeFile(path.join(dir, 'devices'), 'short');
    await assert.rejects(fits(), { code: 'saved_state_damaged' });
    await assert.rejects(fits({ driver: 'other' }), { code: 'saved_state_mismatch' });
  });

  test('that QEMU could not load do not fit; what else it ends of is told as it is', async () => {
    const told = [
      "qemu-system-x86_64: Unknown savevm section or instance 'x' 0. Make sure that your current VM setup matches",
      'qemu-system-x86_64: error while loading state for instance 0x0 of device',
      'qemu-system-x86_64: load of migration failed: Invalid argument',
    ];
    for (const said of told) {
      const ended = new VivError('vmm_failed', `QEMU ended as it started (exit code 1): ${said}\nmore`);
      const failure = loadFailure(ended, manifest, '9.0.0');
      assert(isVivError(failure, 'saved_state_mismatch'));
      assert.match(failure.message, /^QEMU 9\.0\.0 can't load what QEMU 7\.2\.22 saved: /);
      assert.doesNotMatch(failure.message, /more/);
      assert.match(String(failure.hint), /--cold/);
      assert.equal(failure.cause, ended);
    }
    const others = [
      new VivError('vmm_failed', 'QEMU ended as it started (exit code 1): could not bind'),
      new VivError('disk_full', 'load of migration failed'),
      new Error('load of migration failed'),
    ];
    for (const error of others) assert.equal(loadFailure(error, manifest, '9.0.0'), error);
  });

  test('with a delta are told apart where the shim may not write to QEMU', async () => {
    const state: SavedState = {
      dir,
      manifest: { ...manifest, delta: { pages: 1, bytes: 4120, digest: 'xxh3:1' } },
    };
    const execute = async () => 'Host virtual address for 0x0 (ram) is 0x7f0000000000';
    const shim = async () => {
      throw new VivError('not_supported', 'the memory of the VMM cannot be read here');
    };
    await assert.rejects(finishLoading({ execute, shim }, state), {
      code: 'not_supported',
      hint: /ptrace_scope.*CAP_SYS_PTRACE.*cold/,
    });
  });
});
