import { link, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type ForkState, VivError } from '@vivarium/model';
import { allOver } from '../all-over.ts';
import type { ExpectedState, SavedState } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { damaged, readSavedState, stateFiles, sync } from '../saved-states/manifest.ts';
import type { InstanceRecord } from '../store/record.ts';
import { capture, layerAtRest, savedDir } from './capture.ts';
import type { Context } from './context.ts';
import { makeRoom } from './flatten.ts';
import { Foresight, remember, savesLittle } from './foresight.ts';
import type { Instance } from './instance.ts';
import { letWorkloadsRun, standStill } from './standstill.ts';

/** An instant of an instance, in a directory of its own: what forks and snapshots are made from. */
export interface Origin {
  /** Has all of it, but for what is still expected: of its memory, and then the disk. */
  dir: string;
  /** Of the source, as it was. */
  record: InstanceRecord;
  was: ForkState;
  /** Undefined where it was stopped. */
  state?: SavedState | ExpectedState;
  /** Of a copy that is begun before the save: where its disk is to be copied from, and whom to tell that it was. */
  disk?: { dir: string; prepared: boolean; copied: () => void };
  /** Whether nothing of the user's ran from the save on. */
  frozen: boolean;
  /** It is not the one that was foreseen: what was begun from that has failed. */
  unforeseen?: boolean;
}

export interface TakeOptions {
  dir: string;
  durable: boolean;
  unsafe?: boolean;
  /**
   * Of one that runs: begins a copy of an instant that is about to be saved, and answers when that is made, or has failed. Not where it is
   * `durable`.
   */
  foreseen?: (origin: Origin) => Promise<unknown>;
}

/**
 * Takes the present instant of the instance that the operation holds, into a directory that must not exist. A running one stands still for
 * milliseconds, and runs again when this resolves or rejects.
 */
export async function takeOrigin(
  context: Context,
  instance: Instance,
  operation: Operation,
  options: TakeOptions,
): Promise<Origin> {
  const { dir, durable, unsafe } = options;
  const { record } = instance;
  operation.undo('remove the copy', () => rm(dir, { recursive: true, force: true }));
  if (instance.state !== 'Suspended') await makeRoom(context, instance, operation);
  if (instance.state === 'Stopped') {
    operation.step('copy the disk');
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await layerAtRest(context, instance);
    await keepDisk(context, instance, dir, durable);
    return { dir, record, was: 'stopped', frozen: true };
  }
  if (instance.state === 'Suspended') return copySuspended(context, instance, operation, dir, durable);
  const was = instance.state === 'Paused' ? 'paused' : 'running';
  const standing = standStill(instance, operation, { unsafe });
  // Whoever foresees says that nothing of the user's will run: it is not waited for, but the vCPUs do not stop before.
  const begin = was === 'running' && unsafe !== true ? options.foreseen : undefined;
  const origin = { dir, record, was, frozen: begin !== undefined || (await standing).frozen } as const;
  const ahead = begin && new Foresight(instance, origin, begin);
  const capturing = capture(context, instance, operation, {
    dir,
    afterwards: 'continue',
    durable,
    layer: true,
    ready: standing,
    ...(ahead ? { foreseen: ahead.foresee, early: savesLittle(instance) } : {}),
  });
  ahead?.expect(capturing);
  // A capture that fails before the freeze is over does not leave it behind.
  const [still, captured] = await allOver([standing, capturing]);
  remember(instance, captured);
  const running = was === 'running' ? letWorkloadsRun(instance, still) : undefined;
  // Where the disk can't be kept that is what is told, and the undo lets them run.
  running?.catch(() => undefined);
  await keepDisk(context, instance, dir, durable);
  await running;
  const unforeseen = captured.diskChanged || ahead?.isInVain === true;
  return { ...origin, state: captured, ...(unforeseen ? { unforeseen } : {}) };
}

async function copySuspended(
  context: Context,
  instance: Instance,
  operation: Operation,
  dir: string,
  durable: boolean,
): Promise<Origin> {
  const { record } = instance;
  const { suspended } = record;
  if (!suspended?.layered) throw new VivError('internal', 'Its disk does not belong to its memory');
  operation.step('copy the saved memory');
  await linkState(savedDir(instance), dir);
  await keepDisk(context, instance, dir, durable);
  return { dir, record, was: 'suspended', state: await stateIn(dir), frozen: suspended.frozen };
}

async function keepDisk(context: Context, instance: Instance, dir: string, durable: boolean): Promise<void> {
  await context.disks.copy(instance.dir, dir);
  if (durable) await sync(dir);
}

/** Other names for the files of a saved state. The manifest comes last. */
export async function linkState(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  const present = await readdir(from);
  const parts = [stateFiles.memory, stateFiles.devices, stateFiles.delta, stateFiles.manifest];
  for (const name of parts) {
    if (present.includes(name)) await link(path.join(from, name), path.join(to, name));
  }
}

export async function stateIn(dir: string): Promise<SavedState> {
  const state = await readSavedState(dir);
  if (state === undefined) throw damaged(dir, 'its manifest is missing');
  return state;
}
