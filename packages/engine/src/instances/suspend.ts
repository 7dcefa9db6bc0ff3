import { rm } from 'node:fs/promises';
import type { ActionResult, CallOptions } from '@vivarium/model';
import { isPortHolder, type Machine, type PortTraffic } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { wakes } from '../standby/policy.ts';
import { writeRecord } from '../store/record.ts';
import { dropVolumeTops, layerVolumes } from '../volumes/in-use.ts';
import { changed, invalidState, request } from './actions.ts';
import { capture, layerAtRest, savedDir } from './capture.ts';
import type { Context } from './context.ts';
import { flattenSoon, makeRoom } from './flatten.ts';
import type { Instance } from './instance.ts';
import { standStill, unlessEnded } from './standstill.ts';

export interface SuspendOptions extends CallOptions {
  /** Nobody has asked for it: it gives way to whatever else is asked. Default: a person has. */
  by?: 'idle' | 'reclaim';
  /** Called once nobody new gets in, with the connections that are open: throws where it is not to be suspended after all. */
  still?: (open: readonly PortTraffic[]) => void;
}

/** Running or Paused -> Suspending -> Suspended: the memory is on disk, and there is no VMM. */
export async function suspendInstance(
  context: Context,
  instance: Instance,
  { by, still, ...call }: SuspendOptions = {},
): Promise<ActionResult> {
  const asked = request(instance, 'suspend', call, { parameters: by && { by } });
  const polite = { ...asked, yields: by !== undefined };
  const result = await context.door.run(instance, polite, async (operation) => {
    const { machine } = instance;
    if (machine === undefined) throw invalidState(instance, 'suspend');
    const was = instance.state === 'Paused' ? 'paused' : 'running';
    await removals.get(instance);
    await makeRoom(context, instance, operation);
    const keep = was === 'running' && wakes(instance.record.spec.wake, by);
    const holdMs = context.admission.config['standby.wakeTimeout'];
    await holdPorts(instance, machine, operation, { keep, holdMs, still });
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
    instance.change({
      suspended: { at: new Date().toISOString(), was, frozen, ...(by === undefined ? {} : { by }) },
      frozen: undefined,
    });
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

/** Before anything is saved: whoever comes from here on waits, for the guest that goes on or for the one that is woken. */
async function holdPorts(
  { record }: Instance,
  machine: Machine,
  operation: Operation,
  { still, ...hold }: Pick<SuspendOptions, 'still'> & { keep: boolean; holdMs: number },
): Promise<void> {
  let open: PortTraffic[] = [];
  if (record.ports.length > 0 && isPortHolder(machine) && (hold.keep || still !== undefined)) {
    operation.undo('let connections through', () => unlessEnded(machine, () => machine.releasePorts()));
    open = await machine.holdPorts(hold);
  }
  still?.(open);
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

/** Removals under way. They come after the operation whose record makes them possible, and so may meet the next one. */
const removals = new WeakMap<Instance, Promise<void>>();

/** Of memory that the record no longer speaks of. */
export async function removeSaved(instance: Instance): Promise<void> {
  // A suspend that has begun by now puts its own in its place.
  if (instance.record.suspended !== undefined || instance.operation?.action === 'suspend') return;
  const removal = removeBoth(savedDir(instance));
  removals.set(
    instance,
    removal.catch(() => undefined), // it fails for whoever asked for it
  );
  await removal;
}

async function removeBoth(saved: string): Promise<void> {
  await rm(saved, { recursive: true, force: true });
  await rm(`${saved}.new`, { recursive: true, force: true });
}
