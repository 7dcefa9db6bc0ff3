import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import {
  isDiskLayerer,
  isMachineSaver,
  type Machine,
  type SavedState,
  type SaveTarget,
} from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { writeManifest } from '../saved-states/manifest.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { rootSerial } from './machine-spec.ts';
import { unlessEnded } from './standstill.ts';

/** Of a suspended instance: less to write out before its VMM may go. */
const suspendedDeltaBytes = 32 * 2 ** 20;

/** Where the memory of a suspended instance lies. */
export const savedDir = (instance: Instance): string => path.join(instance.dir, 'saved');

/** The machine of an instance, where it can be saved. @throws VivError `not_supported`. */
export function saverOf(
  context: Context,
  instance: Instance,
): Machine & { save(target: SaveTarget): ReturnType<import('../drivers/driver.ts').MachineSaver['save']> } {
  const { machine } = instance;
  if (machine === undefined || !isMachineSaver(machine) || !context.driver.capabilities().save) {
    throw new VivError('not_supported', `The ${context.driver.name} driver can't save a machine`);
  }
  return machine;
}

interface CaptureOptions {
  /** One that is to last is written beside, and renamed. */
  dir: string;
  afterwards: SaveTarget['afterwards'];
  /** Whether it outlives a kill, and all of it is on the host's disk when this resolves. */
  durable: boolean;
  /** Its disk of the same instant becomes read-only below a new top. */
  layer: boolean;
  /** As in {@link SaveTarget}. The new top has been made. Not of one that is to last. */
  foreseen?: SaveTarget['foreseen'];
}

/** Saves a machine that stands still into a directory. */
export async function capture(
  context: Context,
  instance: Instance,
  operation: Operation,
  { dir, afterwards, durable, layer, foreseen }: CaptureOptions,
): Promise<SavedState> {
  const machine = saverOf(context, instance);
  const { record } = instance;
  const making = durable ? `${dir}.new` : dir;
  operation.step('save the memory');
  operation.progress({ stage: 'saving' });
  operation.undo('remove what was saved', () => rm(making, { recursive: true, force: true }));
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { recursive: true, mode: 0o700 });
  const atPause = layer ? await prepareTop(context, instance, operation, machine) : undefined;
  const { manifest, pauseMilliseconds } = await machine.save({
    dir: making,
    afterwards,
    signal: operation.signal,
    // One machine will be restored from what is put away, and many from what is copied.
    ...(afterwards === 'stay' ? { mostDeltaBytes: suspendedDeltaBytes } : {}),
    guest: {
      generation: record.generation,
      hostname: record.spec.hostname,
      machineId: record.machineId,
    },
    atPause,
    foreseen,
  });
  if (afterwards === 'stay' && manifest.guest.was === 'running')
    operation.undo('let the vCPUs run', () => unlessEnded(machine, () => machine.resume()));
  await writeManifest(making, manifest, { durable });
  if (making !== dir) {
    await rm(dir, { recursive: true, force: true });
    await rename(making, dir);
    operation.undo('remove the saved state', () => rm(dir, { recursive: true, force: true }));
  }
  operation.progress({ stage: 'saved', pauseMilliseconds });
  return { dir, manifest };
}

/**
 * A new top for the disk of a live machine. It is on the host's disk before the pause; what is answered puts it on in the pause, and what the
 * disk held until then is read-only from there on.
 */
async function prepareTop(
  context: Context,
  { dir }: Instance,
  operation: Operation,
  machine: Machine,
): Promise<() => Promise<void>> {
  if (!isDiskLayerer(machine))
    throw new VivError('not_supported', 'The disk of this machine can not be layered');
  const { next } = await context.disks.newLayer(dir);
  let written = false;
  operation.undo('remove the new top of the disk', async () => {
    if (!written) await context.disks.abandonLayer(dir);
  });
  return async () => {
    await machine.addLayer(rootSerial, next);
    written = true;
    await context.disks.commitLayer(dir);
  };
}

/** The same where no VMM has the disk. */
export async function layerAtRest(context: Context, instance: Instance): Promise<void> {
  await context.disks.newLayer(instance.dir);
  await context.disks.commitLayer(instance.dir);
}
