import { setTimeout as delay } from 'node:timers/promises';
import { VivError } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import type { Guest } from '../guest/guest.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { watchGuest } from './watch.ts';

const attemptMs = 5000;
const longestPauseMs = 10_000;

/** Shakes hands with the agent of a machine that is there. @throws VivError `agent_unreachable` after `timeoutMs`. */
export async function greet(context: Context, machine: Machine, timeoutMs: number): Promise<Guest> {
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    return await context.connectGuest((channel) => machine.open(channel, signal), signal);
  } catch (cause) {
    throw new VivError('agent_unreachable', `The agent did not answer: ${VivError.from(cause).message}`, {
      cause,
    });
  }
}

/** Tries until the agent answers or the machine is gone; the state is Unknown meanwhile, unless the guest is paused or off. */
export async function reconnect(context: Context, instance: Instance, machine: Machine): Promise<void> {
  let exited = false;
  const end = () => {
    exited = true;
  };
  machine.exited.then(end, end);
  for (
    let pause = 100;
    instance.machine === machine && !exited;
    pause = Math.min(2 * pause, longestPauseMs)
  ) {
    let failure: VivError;
    try {
      const guest = await greet(context, machine, attemptMs);
      if (instance.machine !== machine) return await guest[Symbol.asyncDispose]();
      watchGuest(context, instance, machine, guest);
      return;
    } catch (error) {
      failure = VivError.from(error);
    }
    await Promise.race([delay(pause, undefined, { ref: false }), machine.exited]);
    if (instance.machine !== machine || exited) return;
    instance.observeGuest(undefined);
    if (['Initializing', 'Unknown'].includes(instance.state)) instance.observeNothing(failure);
  }
}
