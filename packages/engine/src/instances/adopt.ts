import { rm } from 'node:fs/promises';
import { VivError } from '@vivarium/model';
import type { ExitRecord, Machine } from '../drivers/driver.ts';
import type { JournalEntry } from '../store/journal.ts';
import type { Context } from './context.ts';
import { removeFiles } from './delete.ts';
import { exitInfo } from './exit-info.ts';
import type { Instance } from './instance.ts';
import { greet, reconnect } from './reconnect.ts';
import { endAfterWorkload, watchGuest, watchMachine } from './watch.ts';

/** Milliseconds that a daemon's start waits for the agents of running VMs; after that they are Unknown, and heal. */
const greetMs = 3000;

/**
 * Finds out where an instance really is after this process has replaced another, and finishes or undoes what the
 * other one had begun. Never starts a VMM, and never ends one but to undo a start.
 */
export async function recoverInstance(
  context: Context,
  instance: Instance,
  unfinished: JournalEntry | undefined,
): Promise<void> {
  const action = unfinished?.action;
  if (action === 'create' || instance.record.phase === 'defined') {
    await rm(instance.dir, { recursive: true, force: true });
    instance.gone = true;
    context.instances.remove(instance);
    return finish(context, instance, unfinished, 'undone');
  }
  if (instance.record.phase === 'live') await adopt(context, instance, action);
  if (action === 'delete') {
    await endMachine(instance);
    await removeFiles(context, instance);
  } else if (action === 'stop' && instance.machine !== undefined) {
    instance.ending = 'killed';
    await endMachine(instance);
  }
  const cameUp = action === 'start' ? instance.guest !== undefined : true;
  finish(context, instance, unfinished, cameUp ? 'done' : 'undone');
}

function finish(
  context: Context,
  instance: Instance,
  unfinished: JournalEntry | undefined,
  outcome: 'done' | 'undone',
): void {
  if (unfinished === undefined) return;
  context.journal.end(unfinished.id, instance.id, outcome, instance.gone ? undefined : instance.record);
  instance.emit('recovered', { operation: unfinished.id, action: unfinished.action, outcome });
}

async function adopt(context: Context, instance: Instance, action: string | undefined): Promise<void> {
  let found: Machine | ExitRecord | undefined;
  try {
    found = await context.driver.adopt(instance.dir);
  } catch (error) {
    instance.observeNothing(VivError.from(error));
    return;
  }
  if (found === undefined || !('record' in found)) return ended(context, instance, found);
  const machine = found;
  instance.observeMachine(machine, await machine.status().catch(() => 'running' as const));
  watchMachine(context, instance, machine);
  if (machine.record.ports.length > 0) instance.change({ ports: machine.record.ports });
  // A start had not got as far as letting the guest run.
  if (action === 'start' && instance.state === 'Created') return endMachine(instance);
  if (instance.state !== 'Initializing') return;
  await adoptGuest(context, instance, machine, action);
}

/** The VMM ended while nobody looked; its exit record says how. Without one it was never launched. */
async function ended(context: Context, instance: Instance, record: ExitRecord | undefined): Promise<void> {
  const exit = record && (await exitInfo(instance, record));
  instance.change({ phase: 'made', ...(exit === undefined ? {} : { exit, stoppedAt: exit.at }) });
  context.journal.save(instance.record);
  if (exit !== undefined) instance.emit('exit', { ...exit });
  instance.announce();
}

async function adoptGuest(
  context: Context,
  instance: Instance,
  machine: Machine,
  action: string | undefined,
): Promise<void> {
  try {
    const guest = await greet(context, machine, greetMs);
    // A start that was cut off before the workload ran is taken back; one that had got that far is done.
    const exit = await guest
      .workloadExit('root', AbortSignal.timeout(greetMs))
      .catch((error: unknown) => VivError.from(error));
    if (exit instanceof VivError) {
      await guest[Symbol.asyncDispose]();
      throw exit;
    }
    watchGuest(context, instance, machine, guest);
    if (exit !== undefined) {
      instance.workloadExit = exit;
      void endAfterWorkload(instance, guest);
    }
  } catch (error) {
    if (action === 'start') return endMachine(instance);
    instance.observeNothing(VivError.from(error));
    void reconnect(context, instance, machine);
  }
}

async function endMachine(instance: Instance): Promise<void> {
  const { machine } = instance;
  if (machine === undefined) return;
  try {
    await machine.kill();
  } catch (error) {
    instance.latch(VivError.from(error));
    return;
  }
  await instance.machineGone(machine);
}
