import type { ActionResult, CallOptions } from '@vivarium/model';
import type { Machine } from '../drivers/driver.ts';
import type { Operation } from '../operations/operation.ts';
import { changed, request } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { bringUp, launch } from './launch.ts';
import { watchGuest } from './watch.ts';

/** Stopped, Created or Shutdown -> Starting -> Initializing -> Running. Changes nothing when it is Running already. */
export function startInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  const began = performance.now();
  return context.door.run(
    instance,
    request(instance, 'start', call, { hint: instance.state === 'Paused' ? 'Resume it.' : undefined }),
    async (operation) => {
      const machine = await machineToBoot(context, instance, operation);
      instance.enter('Initializing');
      const guest = await bringUp(context, instance, machine, operation);
      watchGuest(context, instance, machine, guest);
      instance.leave();
      operation.progress({ stage: 'running', milliseconds: Math.round(performance.now() - began) });
      return changed(instance);
    },
  );
}

async function machineToBoot(context: Context, instance: Instance, operation: Operation): Promise<Machine> {
  const prepared = instance.state === 'Created' ? instance.machine : undefined;
  const left = instance.state === 'Shutdown' ? instance.machine : undefined;
  instance.enter('Starting');
  if (prepared !== undefined) {
    operation.undo('end the VMM', async () => {
      await prepared.kill();
      await instance.machineGone(prepared);
    });
    await prepared.resume();
    return prepared;
  }
  if (left !== undefined) {
    // The guest is off and its memory means nothing any more: a fresh VMM is as good, and known to be clean.
    operation.step('end the old VMM');
    await left.kill();
    await instance.machineGone(left);
  }
  return launch(context, instance, operation, true);
}

/** Stopped -> Created: the VMM is alive and the guest has not begun to boot. */
export function prepareInstance(
  context: Context,
  instance: Instance,
  call: CallOptions = {},
): Promise<ActionResult> {
  return context.door.run(instance, request(instance, 'prepare', call), async (operation) => {
    instance.enter('Starting');
    await launch(context, instance, operation, false);
    instance.leave();
    return changed(instance);
  });
}
