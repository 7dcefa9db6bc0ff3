import { createHash } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { bootId } from '../../host/identity.ts';
import { checkFiles, type Digests, identityOf } from '../../saved-states/check.ts';
import { mismatch, stateFiles } from '../../saved-states/manifest.ts';
import {
  type DiskSpec,
  inherited,
  type MachineSpec,
  type SavedState,
  type SavedStateManifest,
  type SaveTarget,
} from '../driver.ts';
import type { FaultPointName } from './faults.ts';
import type { SimulatedVmm } from './vmm.ts';

type SavePoint = Extract<FaultPointName, `save.${string}`>;

/** Saves a machine in the steps in which a real one is saved. Its memory is as large as what its guest knows, not as its RAM. */
export async function saveMachine(
  vmm: SimulatedVmm,
  target: SaveTarget,
  meet: (point: SavePoint) => Promise<void>,
): Promise<{ manifest: SavedStateManifest; pauseMilliseconds: number }> {
  const was = vmm.status;
  if (was !== 'running' && was !== 'paused')
    throw new VivError('invalid_state', `A machine that is ${was} can't be saved`);
  const file = (name: string) => path.join(target.dir, name);
  await meet('save.memory');
  await writeFile(file(stateFiles.memory), memoryFile(vmm), { mode: 0o600 });
  await writeFile(file(stateFiles.devices), '', { mode: 0o600 });
  await target.foreseen?.(inherited({ tscKhz: vmm.tscKhz, virtio: undefined }));
  await target.ready;
  target.signal?.throwIfAborted();
  const began = performance.now();
  vmm.freeze();
  let complete = false;
  try {
    await meet('save.devices');
    await writeFile(
      file(stateFiles.devices),
      JSON.stringify({ devices: devicesOf(vmm.spec, [...vmm.volumes.values()]) }),
      {
        mode: 0o600,
      },
    );
    await target.atPause?.();
    await meet('save.update');
    await writeFile(file(stateFiles.memory), memoryFile(vmm));
    complete = true;
  } finally {
    if (was === 'running' && vmm.exit === undefined && !(complete && target.afterwards === 'stay')) vmm.run();
  }
  const pauseMilliseconds = performance.now() - began;
  return { manifest: await describe(vmm, target, was), pauseMilliseconds };
}

/** A guest that is not up yet is nothing at all. */
function memoryFile(vmm: SimulatedVmm): Uint8Array {
  return vmm.guestMemory() ?? Buffer.alloc(0);
}

/** Undefined where its guest was not up yet. */
export async function readMemory({ dir }: SavedState): Promise<Uint8Array | undefined> {
  const memory = await readFile(path.join(dir, stateFiles.memory));
  return memory.length === 0 ? undefined : memory;
}

/** @throws VivError `saved_state_mismatch`, `saved_state_damaged`. */
export async function checkFits(state: SavedState, spec: MachineSpec): Promise<void> {
  const { driver, shape, boot } = state.manifest;
  const present = bootOf(spec);
  const demands: [what: string, saved: unknown, present: unknown][] = [
    ['the driver', driver, 'simulated'],
    ['the number of vCPUs', shape.cpus, spec.cpus],
    ['memory of', shape.memoryBytes, spec.memoryBytes],
    ['the kernel', boot.kernel, present.kernel],
    ['the agent', boot.initramfs, present.initramfs],
  ];
  for (const [what, saved, now] of demands)
    if (saved !== now) throw mismatch(what, String(saved), String(now));
  const devices = devicesOf(spec);
  if (!shape.devices.every((device) => devices.includes(device)))
    throw mismatch('the devices', shape.devices.join(' '), devices.join(' '));
  await checkFiles(state, digests);
}

async function describe(
  { spec, record, volumes, tscKhz }: SimulatedVmm,
  { dir, guest }: SaveTarget,
  was: 'running' | 'paused',
): Promise<SavedStateManifest> {
  const memoryFile = path.join(dir, stateFiles.memory);
  const [memory, devices] = await digests([memoryFile, path.join(dir, stateFiles.devices)]);
  if (memory === undefined || devices === undefined) throw new VivError('internal', 'Digests are missing');
  const { vmmName: name, vmmVersion: version, machine, accelerator } = record;
  return {
    format: 1,
    driver: 'simulated',
    savedAt: new Date().toISOString(),
    bootId: await bootId(),
    vmm: { name, version, machine, accelerator, cpu: 'simulated' },
    shape: {
      cpus: spec.cpus,
      memoryBytes: spec.memoryBytes,
      devices: devicesOf(spec, [...volumes.values()]),
    },
    boot: bootOf(spec),
    guest: { ...guest, was },
    memory: { ...memory, dataBytes: memory.bytes, ...identityOf(await stat(memoryFile, { bigint: true })) },
    devices,
    ...(tscKhz === undefined ? {} : { tscKhz }),
  };
}

/** `disk:<serial>` in order, then `nic`, then `volume:<serial>`. */
function devicesOf({ disks, nic }: MachineSpec, volumes = disks.filter(isVolume)): string[] {
  return [
    ...disks.filter((disk) => !isVolume(disk)).map(({ serial }) => `disk:${serial}`),
    ...(nic ? ['nic'] : []),
    ...volumes.map(({ serial }) => `volume:${serial}`),
  ];
}

const isVolume = ({ unit }: DiskSpec): boolean => unit !== undefined;

function bootOf({ boot }: MachineSpec): SavedStateManifest['boot'] {
  return (boot.kind === 'direct' && boot.digests) || { kernel: '', initramfs: '' };
}

/** Another digest than that of real memory: nobody else reads these files. */
const digests: Digests = (files) =>
  Promise.all(
    files.map(async (file) => {
      const data = await readFile(file);
      return { bytes: data.length, digest: `sha256:${createHash('sha256').update(data).digest('hex')}` };
    }),
  );
