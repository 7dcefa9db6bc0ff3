import { rm } from 'node:fs/promises';
import { VivError } from '@vivarium/model';
import { isDiskLayerer } from '../drivers/driver.ts';
import { savedDir } from './capture.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { endMachine } from './look.ts';
import { greet } from './reconnect.ts';
import { dropTops, settleSuspended } from './suspend.ts';
import { watchGuest } from './watch.ts';

/*
 * What a predecessor that was killed in the middle of a save or a restore has left: a guest that stands still, half a saved state,
 * a disk between two tops. Each is safe to do again.
 */

/** Milliseconds. */
const greetMs = 5000;

/** The disk first: whatever else is done, the files are what the VMM (or nobody) writes to. */
export async function settleDisk(context: Context, instance: Instance): Promise<void> {
  const { machine } = instance;
  const top = machine !== undefined && isDiskLayerer(machine) ? await machine.topLayer('root') : undefined;
  await context.disks.settleLayer(instance.dir, top);
}

/** A save had begun: the guest runs again, as it did, or the suspend is finished where its memory is complete. */
export async function takeBackSave(context: Context, instance: Instance): Promise<void> {
  await settleDisk(context, instance);
  if (instance.record.suspended !== undefined) {
    await endMachine(instance);
    await settleSuspended(context, instance);
    return;
  }
  await rm(savedDir(instance), { recursive: true, force: true });
  await rm(`${savedDir(instance)}.new`, { recursive: true, force: true });
  await letGo(context, instance);
}

/** Workloads that were frozen for a save run again, and so do vCPUs that nobody has paused. */
async function letGo(context: Context, instance: Instance): Promise<void> {
  const { machine } = instance;
  if (machine === undefined || instance.record.frozen !== undefined) return;
  if (instance.state === 'Paused') {
    await machine.resume();
    instance.observeMachine(machine, 'running');
  }
  if (instance.guest === undefined)
    watchGuest(context, instance, machine, await greet(context, machine, greetMs));
  await instance.guest?.thaw(AbortSignal.timeout(greetMs));
}

/** A start from saved memory that had not ended: memory and disk are as they were saved. */
export async function takeBackRestore(context: Context, instance: Instance): Promise<void> {
  await endMachine(instance);
  if (instance.machine !== undefined) throw new VivError('vmm_failed', 'Its VMM could not be ended');
  if (instance.record.suspended?.layered) await dropTops(context, instance);
}
