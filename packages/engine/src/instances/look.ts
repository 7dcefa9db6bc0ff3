import { VivError } from '@vivarium/model';
import type { ExitRecord, Machine } from '../drivers/driver.ts';
import { anyLimits, applyLimits, removeGroup } from '../limits/apply.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { greet, reconnect } from './reconnect.ts';
import { endAfterWorkload, keepExit, watchGuest, watchMachine } from './watch.ts';

/** Milliseconds that a daemon's start waits for the agents of running VMs; after that they are Unknown, and heal. */
const greetMs = 3000;

/** Where the VMM of an instance is, and what has become of it. @throws VivError where nobody can say. */
export async function lookForMachine(
  context: Context,
  instance: Instance,
  action: string | undefined,
): Promise<void> {
  if (instance.machine !== undefined) return;
  const found = await context.driver.adopt(instance.dir);
  if (found === undefined || !('record' in found)) return ended(context, instance, found);
  const machine = found;
  const status = await machine.status().catch(async (error: unknown) => {
    await machine[Symbol.asyncDispose]();
    throw error;
  });
  instance.observeMachine(machine, status);
  watchMachine(context, instance, machine);
  await applyLimits(context, instance, machine, anyLimits);
  if (machine.record.ports.length > 0) instance.change({ ports: machine.record.ports });
  // A start had not got as far as letting the guest run.
  if (action === 'start' && instance.state === 'Created') return endMachine(instance);
  if (instance.state !== 'Initializing') return;
  await adoptGuest(context, instance, machine, action);
}

/** The VMM ended while nobody looked; its exit record says how. Without one it was never launched. */
async function ended(context: Context, instance: Instance, record: ExitRecord | undefined): Promise<void> {
  if (record !== undefined) await keepExit(context, instance, record);
  else {
    instance.change({ phase: 'made' });
    context.journal.save(instance.record);
  }
  await removeGroup(context, instance);
  instance.observeMachine(undefined);
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

/** Ends what was found, or leaves the evidence that it can't be. */
export async function endMachine(instance: Instance): Promise<void> {
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
