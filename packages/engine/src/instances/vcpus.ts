import type { ActionResult, CallOptions } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { changed, invalidState, request } from './actions.ts';
import { setGuestClock } from './clock.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { greet } from './reconnect.ts';
import { standStill, unlessEnded } from './standstill.ts';
import { watchGuest } from './watch.ts';

/** Milliseconds. */
const greetMs = 5000;

/**
 * Running -> Paused: the workloads are frozen, then the vCPUs; memory and VMM stay. A guest whose agent does not answer is paused
 * without it, and can't be copied safely.
 */
export function pauseInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  return context.door.run(instance, request(instance, 'pause', call), async (operation) => {
    const { machine } = instance;
    if (machine === undefined) throw invalidState(instance, 'pause');
    const still = await standStill(instance, operation, { unsafe: true });
    operation.step('freeze the vCPUs');
    operation.undo('let the vCPUs run', () => unlessEnded(machine, () => machine.resume()));
    await machine.pause();
    instance.observeMachine(machine, 'paused');
    instance.still = still;
    instance.change({ frozen: still.frozen });
    return changed(instance);
  });
}

/** Paused -> Running. */
export function resumeInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  return context.door.run(instance, request(instance, 'resume', call), async (operation) => {
    const { machine } = instance;
    if (machine === undefined) throw invalidState(instance, 'resume');
    await letRun(context, instance, machine, operation);
    return changed(instance);
  });
}

/** The vCPUs of a paused machine, then the clock, then the workloads. */
export async function letRun(
  context: Context,
  instance: Instance,
  machine: Machine,
  operation: Operation,
): Promise<void> {
  operation.step('let the vCPUs run');
  await machine.resume();
  instance.observeMachine(machine, 'running');
  const { still } = instance;
  instance.still = undefined;
  if (still?.frozen) await still.goOn();
  else await comeBack(context, instance, machine);
  instance.change({ frozen: undefined });
}

/** Paused by another engine, or without its agent: it may be frozen, and nobody may have spoken to it. */
async function comeBack(context: Context, instance: Instance, machine: Machine): Promise<void> {
  if (instance.guest === undefined) {
    watchGuest(context, instance, machine, await greet(context, machine, greetMs));
  }
  await setGuestClock(instance);
  await instance.guest?.thaw(AbortSignal.timeout(greetMs));
}
