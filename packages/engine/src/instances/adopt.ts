import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import { isPortHolder } from '../drivers/driver.ts';
import type { JournalEntry, Outcome } from '../store/journal.ts';
import { writeRecord } from '../store/record.ts';
import type { Context } from './context.ts';
import { removeFiles } from './delete.ts';
import { takeBackMerge } from './flatten.ts';
import type { Instance } from './instance.ts';
import { endMachine, lookForMachine } from './look.ts';
import { takeBackRestore, takeBackSave } from './take-back.ts';
import { settleVolumes } from './volumes.ts';
import { removeAfterExit } from './watch.ts';

/**
 * Finds out where an instance really is after this process has replaced another, and finishes or undoes what the
 * other one had begun. Never starts a VMM, and never ends one but to undo a start. Where the VMM can't be looked at the
 * instance is Unknown, and it is tried again until it can; where anything else fails it is Error, with the evidence.
 */
export async function recoverInstance(
  context: Context,
  instance: Instance,
  unfinished: JournalEntry | undefined,
): Promise<void> {
  try {
    if (instance.record.phase === 'live') await lookForMachine(context, instance, unfinished?.action);
    instance.sought = false;
  } catch (error) {
    instance.observeNothing(VivError.from(error));
    if (!instance.sought) void seek(context, instance, unfinished);
    return;
  }
  try {
    await takeUp(context, instance, unfinished);
  } catch (thrown) {
    const error = VivError.from(thrown);
    instance.latch(error);
    finish(context, instance, unfinished, 'failed', error);
  }
  await letThrough(instance);
  await removeAfterExit(context, instance);
}

/** Whoever held its ports to suspend or restore it is no more, and neither was finished. */
async function letThrough(instance: Instance): Promise<void> {
  const { machine, record } = instance;
  if (machine === undefined || record.ports.length === 0 || !isPortHolder(machine)) return;
  await machine.releasePorts().catch((error: unknown) => {
    instance.emit('warning', { message: `Its ports may be held: ${VivError.from(error).message}` });
  });
}

/** Milliseconds. */
const firstPause = 500;
const longestPause = 30_000;

async function seek(
  context: Context,
  instance: Instance,
  unfinished: JournalEntry | undefined,
): Promise<void> {
  instance.sought = true;
  for (let pause = firstPause; instance.sought; pause = Math.min(2 * pause, longestPause)) {
    await delay(pause, undefined, { ref: false });
    // Whoever holds it now looks for itself.
    await instance.operation?.ended;
    if (instance.sought) await recoverInstance(context, instance, unfinished);
  }
}

async function takeUp(
  context: Context,
  instance: Instance,
  unfinished: JournalEntry | undefined,
): Promise<void> {
  const action = unfinished?.action;
  if (action === 'create' || instance.record.phase === 'defined') {
    // A copy is made and started in one operation.
    await endMachine(instance);
    await rm(instance.dir, { recursive: true, force: true });
    instance.gone = true;
    context.instances.remove(instance);
    return finish(context, instance, unfinished, 'undone');
  }
  if (action === 'delete') {
    await endMachine(instance);
    await removeFiles(context, instance);
  } else if (action === 'stop' && instance.machine !== undefined) {
    instance.ending = 'killed';
    await endMachine(instance);
  } else if (saves.has(action ?? '')) {
    await takeBackSave(context, instance);
  } else if (action === 'flatten') {
    await takeBackMerge(context, instance);
  } else if (action === 'start' && instance.record.suspended !== undefined) {
    await takeBackRestore(context, instance);
  } else if (action === 'shutdown' && instance.machine !== undefined && instance.state !== 'Shutdown') {
    // Nobody waits for its guest to be off any more: it ends with it, as every other does.
    await instance.machine.onGuestOff('exit');
  }
  await settleVolumes(context, instance);
  // The database is the truth; what lies beside the disks may be from before or after it.
  if (unfinished !== undefined && !instance.gone) await writeRecord(instance.dir, instance.record);
  finish(context, instance, unfinished, outcomeOf(action, instance));
}

/** Operations that save a guest, which stands still meanwhile. */
const saves: ReadonlySet<string> = new Set(['suspend', 'fork', 'snapshot', 'pause', 'resume']);

function outcomeOf(action: string | undefined, instance: Instance): Outcome {
  if (action === 'start') return instance.guest === undefined ? 'undone' : 'done';
  if (action === 'suspend') return instance.state === 'Suspended' ? 'done' : 'undone';
  return action?.endsWith('-volume') || action === 'fork' || action === 'snapshot' || action === 'flatten'
    ? 'undone'
    : 'done';
}

function finish(
  context: Context,
  instance: Instance,
  unfinished: JournalEntry | undefined,
  outcome: Outcome,
  error?: VivError,
): void {
  if (unfinished === undefined) return;
  const record = instance.gone ? undefined : instance.record;
  context.journal.end(unfinished.id, instance.id, outcome, record, error?.toJSON());
  instance.emit('recovered', { operation: unfinished.id, action: unfinished.action, outcome });
}
