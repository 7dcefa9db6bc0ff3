import type { ActionResult, CallOptions } from '@vivarium/model';
import { changed, invalidState, request } from './actions.ts';
import { setGuestClock } from './clock.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { greet } from './reconnect.ts';
import { watchGuest } from './watch.ts';

/** Milliseconds. */
const greetMs = 5000;

/** Running -> Paused: the vCPUs are frozen, memory and VMM stay. */
export function pauseInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  return context.door.run(instance, request(instance, 'pause', call), async (operation) => {
    const { machine } = instance;
    if (machine === undefined) throw invalidState(instance, 'pause');
    operation.step('freeze the vCPUs');
    operation.undo('let the vCPUs run', () => machine.resume());
    await machine.pause();
    instance.observeMachine(machine, 'paused');
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
    operation.step('let the vCPUs run');
    await machine.resume();
    instance.observeMachine(machine, 'running');
    // Adopted while it was paused: nobody could speak to its agent until now.
    if (instance.guest === undefined) {
      watchGuest(context, instance, machine, await greet(context, machine, greetMs));
    }
    await setGuestClock(instance);
    return changed(instance);
  });
}
