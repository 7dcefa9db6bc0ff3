import { rm } from 'node:fs/promises';
import type { ActionResult, CallOptions } from '@vivarium/model';
import { writeRecord } from '../store/record.ts';
import { dropVolumeTops, layerVolumes } from '../volumes/in-use.ts';
import { changed, invalidState, request } from './actions.ts';
import { capture, layerAtRest, savedDir } from './capture.ts';
import type { Context } from './context.ts';
import { flattenSoon, makeRoom } from './flatten.ts';
import type { Instance } from './instance.ts';
import { standStill } from './standstill.ts';

/** Running or Paused -> Suspending -> Suspended: the memory is on disk, and there is no VMM. */
export async function suspendInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  const result = await context.door.run(instance, request(instance, 'suspend', call), async (operation) => {
    const { machine } = instance;
    if (machine === undefined) throw invalidState(instance, 'suspend');
    const was = instance.state === 'Paused' ? 'paused' : 'running';
    await makeRoom(context, instance, operation);
    const { frozen } = await standStill(instance, operation, { unsafe: true });
    instance.enter('Suspending');
    await capture(context, instance, operation, {
      dir: savedDir(instance),
      afterwards: 'stay',
      durable: true,
      layer: false,
    });
    operation.signal.throwIfAborted();
    operation.step('end the VMM');
    // From here on there is no way back, and none is needed: what was saved is complete.
    const { record } = instance;
    instance.change({ suspended: { at: new Date().toISOString(), was, frozen }, frozen: undefined });
    operation.undo('forget the saved memory', () => {
      instance.change({ suspended: undefined, frozen: record.frozen });
    });
    context.journal.save(instance.record);
    operation.reverter.disarm();
    await machine.kill();
    await instance.machineGone(machine);
    await settleSuspended(context, instance);
    instance.leave();
    return changed(instance);
  });
  void flattenSoon(context, instance);
  return result;
}

/**
 * What was written up to the save lies in a layer of its own from here on: a start that fails gives up what is above it, and
 * memory and disk are of one instant again.
 */
export async function settleSuspended(context: Context, instance: Instance): Promise<void> {
  const { suspended } = instance.record;
  if (suspended === undefined || suspended.layered) return;
  await layerAtRest(context, instance);
  await layerVolumes(context, instance);
  instance.change({ suspended: { ...suspended, layered: true } });
  await writeRecord(instance.dir, instance.record);
}

/** What was written to its disks since its memory was saved. */
export async function dropTops(context: Context, instance: Instance): Promise<void> {
  await context.disks.dropTop(instance.dir);
  await dropVolumeTops(context, instance);
}

/** Suspended -> Stopped: the memory is given up, the disk is as if the power had failed. */
export async function discardInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  const result = await context.door.run(instance, request(instance, 'discard', call), async (operation) => {
    operation.step('give the memory up');
    const { suspended, exit } = instance.record;
    operation.undo('keep the memory', () => instance.change({ suspended, exit }));
    const at = new Date().toISOString();
    instance.change({
      suspended: undefined,
      stoppedAt: at,
      exit: { reason: 'stopped', message: 'its saved memory was discarded', at },
    });
    return changed(instance);
  });
  // Not before the record says so. What a kill leaves here is removed by the next start.
  if (result.changed) {
    await writeRecord(instance.dir, instance.record);
    await removeSaved(instance);
  }
  return result;
}

/** Of memory that the record no longer speaks of. */
export async function removeSaved(instance: Instance): Promise<void> {
  if (instance.record.suspended !== undefined) return;
  await rm(savedDir(instance), { recursive: true, force: true });
  await rm(`${savedDir(instance)}.new`, { recursive: true, force: true });
}
