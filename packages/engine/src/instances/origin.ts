import { link, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type ForkState, isVivError, VivError } from '@vivarium/model';
import type { ExpectedState, SavedState } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { damaged, readSavedState, stateFiles, sync } from '../saved-states/manifest.ts';
import type { InstanceRecord } from '../store/record.ts';
import { capture, layerAtRest, savedDir } from './capture.ts';
import type { Context } from './context.ts';
import { makeRoom } from './flatten.ts';
import type { Instance } from './instance.ts';
import { letWorkloadsRun, standStill } from './standstill.ts';

/** An instant of an instance, in a directory of its own: what forks and snapshots are made from. */
export interface Origin {
  /** Has all of it, but for what is still expected of its memory. */
  dir: string;
  /** Of the source, as it was. */
  record: InstanceRecord;
  was: ForkState;
  /** Undefined where it was stopped. */
  state?: SavedState | ExpectedState;
  /** Whether nothing of the user's ran from the save on. */
  frozen: boolean;
}

/** Milliseconds that a save waits for the VMM of a copy to be started, at most: 15 as a rule. The workloads are frozen already. */
const mostAheadMs = 100;

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
  const still = await standStill(instance, operation, { unsafe });
  const origin = { dir, record, was, frozen: still.frozen } as const;
  const ahead = foresight(context, instance, was === 'running' ? options : { dir }, origin);
  const capturing = capture(context, instance, operation, {
    dir,
    afterwards: 'continue',
    durable,
    layer: true,
    foreseen: ahead.foreseen,
  });
  ahead.expect(capturing);
  const state = await capturing;
  const running = was === 'running' ? letWorkloadsRun(instance, still) : undefined;
  // Where the disk can't be kept that is what is told, and the undo lets them run.
  running?.catch(() => undefined);
  if (!ahead.diskKept) await keepDisk(context, instance, dir, durable);
  await running;
  return { ...origin, state };
}

type Foreseen = NonNullable<TakeOptions['foreseen']>;

/** Tells of the instant before it is there, once its disk has names in the directory. */
function foresight(
  context: Context,
  instance: Instance,
  { dir, foreseen }: Pick<TakeOptions, 'dir' | 'foreseen'>,
  origin: Omit<Origin, 'state'>,
) {
  const { promise, resolve } = Promise.withResolvers<SavedState>();
  // Where nobody expects it.
  promise.catch(() => undefined);
  const tell = async (begin: Foreseen, known: Pick<ExpectedState, 'tscKhz'>) => {
    try {
      await context.disks.copy(instance.dir, dir, { prepared: true });
    } catch (error) {
      if (!isVivError(error, 'not_supported')) throw error;
      return;
    }
    ahead.diskKept = true;
    await untilStarting((started) => begin({ ...origin, state: { ...known, dir, state: promise, started } }));
  };
  const ahead = {
    diskKept: false,
    expect: (state: Promise<SavedState>) => resolve(state),
    foreseen: foreseen && ((known: Pick<ExpectedState, 'tscKhz'>) => tell(foreseen, known)),
  };
  return ahead;
}

/** What this process has to do for the copy is done before the pause, which it would make longer: until its VMM is starting, or it has failed. */
async function untilStarting(begin: (started: () => void) => Promise<unknown>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  begin(done).then(done, done);
  const late = setTimeout(done, mostAheadMs);
  await promise;
  clearTimeout(late);
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
