import { stat } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { allOver } from '../../all-over.ts';
import { bootId } from '../../host/identity.ts';
import { type Digests, identityOf, remembering } from '../../saved-states/check.ts';
import { stateFiles } from '../../saved-states/manifest.ts';
import { inherited, type MachineRecord, type SavedStateManifest, type SaveTarget } from '../driver.ts';
import { fullOr } from './disk-full.ts';
import { PauseGuard } from './guard.ts';
import { exists, type SavedShape, volumeName } from './memory.ts';
import { type Prepared, prepareMemory } from './prepare-memory.ts';
import { statusFrom } from './status.ts';
import { pluggedVolumes } from './volumes.ts';

/** What saves are made with, whatever the machine. */
export interface SavingMeans {
  digests: Digests;
  readMemory: ReadMemory;
}

/** What a save needs of a machine. */
export interface Saveable extends SavingMeans {
  record: MachineRecord;
  shape: SavedShape;
  execute(command: string, args?: object, timeoutMs?: number): Promise<unknown>;
  /** Of its RAM, in the VMM. */
  address(): Promise<number>;
  /** Whether the shim was let look into its memory before. */
  reach: { proven: boolean };
  shim(method: string, params: object, timeoutMs: number): Promise<unknown>;
}

/**
 * How the guest's memory is read when a machine is saved. `shim`: by the shim, and by QEMU where the host does not let the shim.
 * `vmm`: by QEMU, whose pause is longer (docs/saved-state.md).
 */
export type ReadMemory = 'shim' | 'vmm';

/** QEMU waits for its disks before it stops, and a loaded host for everything. Milliseconds. */
const haltTimeoutMs = 60_000;
/** Of the device state: 2 ms as a rule; QEMU may wait for a disk before. */
const devicesTimeoutMs = 60_000;
/** 35 KB as a rule. */
const mostDeviceBytes = 2 ** 20;

/**
 * Saves a running or paused machine. It is as it was before when this rejects, and unless `afterwards` is `stay` when it
 * resolves.
 */
export async function saveMachine(
  machine: Saveable,
  target: SaveTarget,
): Promise<{ manifest: SavedStateManifest; pauseMilliseconds: number }> {
  // The volumes stay what they are: whoever saves holds the machine.
  const [was, volumes, memory] = await allOver([
    statusBefore(machine),
    pluggedVolumes(machine.execute),
    prepareMemory(machine, target),
  ]);
  let [pauseMilliseconds, prepared] = [0, memory];
  for (;;) {
    await target.ready;
    target.signal?.throwIfAborted();
    const { manifest, milliseconds } = await inPause(machine, target, { was, volumes, memory: prepared });
    pauseMilliseconds += milliseconds;
    if (manifest !== undefined) return { manifest, pauseMilliseconds };
    prepared = await prepared.instead();
  }
}

/** No manifest: there was more to save than was prepared for, and the machine is as it was. */
async function inPause(
  machine: Saveable,
  target: SaveTarget,
  { was, volumes, memory }: { was: 'running' | 'paused'; volumes: string[]; memory: Prepared },
): Promise<{ manifest?: SavedStateManifest; milliseconds: number }> {
  const guard = was === 'running' ? await PauseGuard.take(machine.shim) : undefined;
  let halted = was === 'running';
  const letRun = async () => {
    if (halted) await machine.execute('cont', {}, haltTimeoutMs);
    halted = false;
  };
  const began = performance.now();
  try {
    // A QEMU that answers too late stops all the same; what follows lets it run again.
    await machine.execute('stop', {}, haltTimeoutMs);
    await saveDevices(machine, target.dir);
    const complete = await memory.finish();
    // Last: a layer that was put on a disk is not taken off again.
    if (complete) await target.atPause?.();
    if (!complete || target.afterwards === 'continue') await letRun();
    const milliseconds = performance.now() - began;
    if (!complete) {
      await guard?.release();
      return { milliseconds };
    }
    const described = describe(machine, target, { was, volumes });
    const kept = unbroken(guard).then(() => memory.keep());
    const [manifest] = await allOver([described, kept]);
    return { manifest, milliseconds };
  } catch (error) {
    try {
      await letRun();
      await guard?.release();
    } catch (failure) {
      // The shim tries as well, once nobody renews its guard.
      guard?.abandon();
      throw failure;
    }
    throw error;
  }
}

async function statusBefore({ execute }: Saveable): Promise<'running' | 'paused'> {
  const was = statusFrom(await execute('query-status'));
  if (was === 'running' || was === 'paused') return was;
  throw new VivError('invalid_state', `A machine that is ${was} can't be saved`);
}

/** @throws VivError where the shim has let the guest run in between: memory and disk would be of two instants. */
async function unbroken(guard: PauseGuard | undefined): Promise<void> {
  if ((await guard?.release()) ?? true) return;
  throw new VivError('vmm_failed', 'The guest was let run in the middle of its pause', {
    hint: 'This process did not get to run for too long. Try again.',
  });
}

/**
 * Not `live`: that would give up the disks, as for another QEMU to take them over. They are still this one's, and where a
 * machine that is paused is saved twice QEMU 7.2 would not survive the second time.
 */
async function saveDevices({ execute }: Saveable, dir: string): Promise<void> {
  const params = { filename: path.join(dir, stateFiles.devices), live: false };
  try {
    await execute('xen-save-devices-state', params, devicesTimeoutMs);
  } catch (error) {
    throw await fullOr(error, dir, mostDeviceBytes);
  }
}

async function describe(
  { record, shape, digests }: Saveable,
  { dir, guest }: SaveTarget,
  { was, volumes }: { was: 'running' | 'paused'; volumes: string[] },
): Promise<SavedStateManifest> {
  const deltaFile = path.join(dir, stateFiles.delta);
  const hasDelta = await exists(deltaFile);
  const memoryFile = path.join(dir, stateFiles.memory);
  const files = [memoryFile, path.join(dir, stateFiles.devices), ...(hasDelta ? [deltaFile] : [])];
  const [memory, state, delta] = await remembering(digests)(files);
  if (memory === undefined || state === undefined) throw new VivError('internal', 'Digests are missing');
  const found = await stat(memoryFile, { bigint: true });
  const devices = [...shape.devices, ...volumes.map(volumeName)];
  return {
    format: 1,
    driver: 'qemu',
    savedAt: new Date().toISOString(),
    bootId: await bootId(),
    vmm: {
      name: record.vmmName,
      version: record.vmmVersion,
      machine: record.machine,
      accelerator: record.accelerator,
      cpu: shape.cpu,
    },
    shape: { cpus: shape.cpus, memoryBytes: shape.memoryBytes, devices },
    boot: shape.boot,
    guest: { ...guest, was },
    memory: {
      bytes: memory.bytes,
      dataBytes: Number(found.blocks) * 512,
      digest: memory.digest,
      ...identityOf(found),
    },
    ...(delta === undefined ? {} : { delta: { pages: deltaPages(delta.bytes), ...pick(delta) } }),
    devices: pick(state),
    ...inherited(shape),
  };
}

const pick = ({ bytes, digest }: { bytes: number; digest: string }) => ({ bytes, digest });

/** A header of 16 bytes, then 8 and 4096 bytes a page. */
const deltaPages = (bytes: number): number => (bytes - 16) / 4104;
