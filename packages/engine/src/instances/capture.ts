import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import {
  type Inherited,
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

export interface CaptureOptions {
  /** One that is to last is written beside, and renamed. */
  dir: string;
  afterwards: SaveTarget['afterwards'];
  /** Whether it outlives a kill, and all of it is on the host's disk when this resolves. */
  durable: boolean;
  /** Its disk of the same instant becomes read-only below a new top. */
  layer: boolean;
  /** As in {@link SaveTarget}. */
  ready?: SaveTarget['ready'];
  /** As in {@link SaveTarget}. */
  early?: boolean;
  /** As in {@link SaveTarget}. Not of one that is to last. */
  foreseen?: (known: Inherited, disk: ForeseenDisk) => Promise<void>;
}

/** `prepared`: there is a new top, and what is written still will be below it. Else the present one will do. */
export interface ForeseenDisk {
  prepared: boolean;
}

export interface Captured extends SavedState {
  /** The disk is not what was foreseen: it was written to at the last moment. */
  diskChanged: boolean;
}

/** Saves a machine into a directory. It stands still, or will once `ready` resolves. */
export async function capture(
  context: Context,
  instance: Instance,
  operation: Operation,
  { dir, afterwards, durable, layer, ready, early, foreseen }: CaptureOptions,
): Promise<Captured> {
  const machine = saverOf(context, instance);
  const { record } = instance;
  const making = durable ? `${dir}.new` : dir;
  operation.step('save the memory');
  operation.progress({ stage: 'saving' });
  operation.undo('remove what was saved', () => rm(making, { recursive: true, force: true }));
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { recursive: true, mode: 0o700 });
  // Beside what can be done before the pause, and there when that begins.
  const preparing = layer ? prepareTop(context, instance, operation, machine) : Promise.resolve(presentTop);
  operation.meanwhile(preparing);
  const disk = preparing.then(({ isNew }) => ({ prepared: !isNew }));
  const before = Promise.all([ready, preparing]);
  // Where one fails it is heard of elsewhere.
  for (const late of [disk, before]) late.catch(() => undefined);
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
    ready: before,
    atPause: async () => (await preparing).atPause(),
    early,
    foreseen: foreseen && (async (known) => foreseen(known, await disk)),
  });
  const top = await preparing;
  if (afterwards === 'stay' && manifest.guest.was === 'running')
    operation.undo('let the vCPUs run', () => unlessEnded(machine, () => machine.resume()));
  await writeManifest(making, manifest, { durable });
  if (making !== dir) {
    await rm(dir, { recursive: true, force: true });
    await rename(making, dir);
    operation.undo('remove the saved state', () => rm(dir, { recursive: true, force: true }));
  }
  operation.progress({ stage: 'saved', pauseMilliseconds });
  return { dir, manifest, diskChanged: top.isLate() };
}

interface Top {
  /** Nothing has been written to the present one: it will do. */
  isNew: boolean;
  /** What the disk held until then is read-only from there on. */
  atPause(): Promise<void>;
  /** It did not: something was written to it before the vCPUs stood still, and it got another one above. */
  isLate(): boolean;
}

/** Where the disk is to go on as it is. */
const presentTop: Top = { isNew: false, atPause: async () => {}, isLate: () => false };

/** A new top for the disk of a live machine, where it needs one. It is on the host's disk before the pause, and put on in it. */
async function prepareTop(
  context: Context,
  { dir }: Instance,
  operation: Operation,
  machine: Machine,
): Promise<Top> {
  if (!isDiskLayerer(machine))
    throw new VivError('not_supported', 'The disk of this machine can not be layered');
  const { disks } = context;
  let written = false;
  const prepare = async () => {
    const { next } = await disks.newLayer(dir);
    operation.undo('remove the new top of the disk', async () => {
      if (!written) await disks.abandonLayer(dir);
    });
    return next;
  };
  const putOn = async (next: string) => {
    await machine.addLayer(rootSerial, next);
    written = true;
    await disks.commitLayer(dir);
  };
  if (await disks.isTopNew(dir)) {
    const atPause = async () => {
      if (!(await disks.isTopNew(dir))) await putOn(await prepare());
    };
    return { isNew: true, atPause, isLate: () => written };
  }
  const next = await prepare();
  return { isNew: false, atPause: () => putOn(next), isLate: () => false };
}

/** The same where no VMM has the disk. */
export async function layerAtRest(context: Context, instance: Instance): Promise<void> {
  if (await context.disks.isTopNew(instance.dir)) return;
  await context.disks.newLayer(instance.dir);
  await context.disks.commitLayer(instance.dir);
}
