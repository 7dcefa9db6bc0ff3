import { rm } from 'node:fs/promises';
import { type CallOptions, VivError } from '@vivarium/model';
import { request } from './actions.ts';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { lookForMachine } from './look.ts';
import { stopNow } from './stop.ts';

/** Ends the VM with `force`, removes its disks, and forgets it. What can't be removed is listed, and the state is Error. */
export async function deleteInstance(
  context: Context,
  instance: Instance,
  { force = false, ...call }: CallOptions & { force?: boolean },
): Promise<void> {
  // Forced or not is judged at the beginning only: one that is under way is shared by all who want it gone.
  const { check, ...rest } = request(instance, 'delete', call, {
    force,
    hint: 'Stop it first, or use force (`viv rm -f`).',
  });
  await context.door.run<void>(
    instance,
    {
      ...rest,
      check: () => (instance.gone || check?.() !== undefined ? { answer: undefined } : undefined),
    },
    async (operation) => {
      // What nobody could look at may still run, and have its disks open.
      if (instance.sought) await lookForMachine(context, instance, 'delete');
      instance.sought = false;
      if (instance.machine !== undefined)
        await stopNow(context, instance, operation, { timeoutMs: 0, force: true });
      instance.enter('Deleting');
      operation.step('remove the disks');
      await removeFiles(context, instance);
    },
  );
}

/** From here on there is no way back; it is finished after a restart when it is interrupted. */
export async function removeFiles(context: Context, instance: Instance): Promise<void> {
  try {
    await rm(instance.dir, { recursive: true, force: true, maxRetries: 3 });
  } catch (cause) {
    const error = new VivError(
      'internal',
      `Not everything of ${instance.record.name} could be removed: ${(cause as Error).message}`,
      {
        hint: 'Remove the cause and delete it again.',
        details: { directory: instance.dir },
        cause,
      },
    );
    instance.latch(error);
    throw error;
  }
  releaseCard(context, instance);
  instance.gone = true;
  context.instances.remove(instance);
  instance.emit('deleted', {});
  instance.announce();
}

/** A card that its backend does not let go of is told of, and keeps nobody from being rid of the instance. */
function releaseCard(context: Context, instance: Instance): void {
  const { nic } = instance.record;
  if (nic === undefined) return;
  try {
    context.network.release(nic);
  } catch (error) {
    instance.emit('warning', {
      message: `Its network card was not released: ${VivError.from(error).message}`,
    });
  }
}
