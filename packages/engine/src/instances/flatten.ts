import { isVivError, VivError } from '@vivarium/model';
import {
  type DiskLayerer,
  type DiskMerger,
  isDiskLayerer,
  isDiskMerger,
  type Machine,
} from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { deadlines } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { rootSerial } from './machine-spec.ts';

/** Layers that lie under a top at most when it becomes a layer itself. */
const mostLayers = 9;
/** Milliseconds that one who puts a layer on waits for the merge of the others. */
const patienceMs = 5_000;

/**
 * Merges the layers of a disk where forks, snapshots and suspends have made them many. Nobody waits for it: it gives way to
 * whatever is asked of the instance, and is begun again after the next of them. Never rejects.
 */
export async function flattenSoon(context: Context, instance: Instance): Promise<void> {
  const { machine } = instance;
  try {
    if (!mayMerge(instance) || (await context.disks.planMerge(instance.dir)) === undefined) return;
    await context.door.run<void>(
      instance,
      {
        action: 'flatten',
        yields: true,
        deadlineMs: deadlines.flatten,
        check: () => (mayMerge(instance) ? undefined : { answer: undefined }),
      },
      (operation) => merge(context, instance, operation, operation.signal),
    );
  } catch (error) {
    // Others come first, and may have removed what was looked at; or the VM has ended meanwhile.
    if (instance.gone || instance.held !== undefined || instance.machine !== machine) return;
    if (isVivError(error, 'busy', 'cancelled')) return;
    warn(instance, error);
  }
}

/**
 * Before a layer is put on: where merging was cut off again and again it is waited for, but not for long. A disk that stays as
 * it is works as well.
 */
export async function makeRoom(context: Context, instance: Instance, operation: Operation): Promise<void> {
  const patience = AbortSignal.timeout(patienceMs);
  try {
    if (!mayMerge(instance) || (await context.disks.planMerge(instance.dir, mostLayers)) === undefined)
      return;
    await merge(context, instance, operation, AbortSignal.any([operation.signal, patience]));
  } catch (error) {
    operation.signal.throwIfAborted();
    if (!patience.aborted) warn(instance, error);
  }
}

/** A predecessor was killed in a merge, which may go on in the VMM. */
export async function takeBackMerge(context: Context, instance: Instance): Promise<void> {
  const { machine } = instance;
  try {
    if (machine === undefined) return await context.disks.settleLayer(instance.dir);
    if (!canMerge(machine)) return;
    await machine.settleMerge(rootSerial);
    await context.disks.settleLayer(instance.dir, await machine.topLayer(rootSerial));
  } catch (error) {
    // The layers are all there, merged or not: the VM is no worse for it.
    warn(instance, error);
  }
}

const canMerge = (machine: Machine): machine is Machine & DiskMerger & DiskLayerer =>
  isDiskMerger(machine) && isDiskLayerer(machine);

/** At rest the disk has to be of one piece with what the record says of it; alive its VMM does the work. */
function mayMerge({ gone, state, machine, record, restarts }: Instance): boolean {
  if (gone || record.restoring !== undefined) return false;
  if (machine !== undefined) return (state === 'Running' || state === 'Paused') && canMerge(machine);
  if (state === 'Suspended') return record.suspended?.layered === true;
  return state === 'Stopped' && !record.spec.autoRemove && restarts === 0;
}

async function merge(
  context: Context,
  instance: Instance,
  operation: Operation,
  signal: AbortSignal,
): Promise<void> {
  operation.step('merge the layers of the disk');
  const { machine } = instance;
  if (machine === undefined) return context.disks.flatten(instance.dir, signal);
  const plan = await context.disks.planMerge(instance.dir);
  if (plan === undefined || !canMerge(machine)) return;
  await machine.mergeLayers(rootSerial, plan, signal);
  await context.disks.settleLayer(instance.dir, await machine.topLayer(rootSerial));
}

function warn(instance: Instance, error: unknown): void {
  instance.emit('warning', {
    message: `The layers of its disk are not merged: ${VivError.from(error).message}`,
  });
}
