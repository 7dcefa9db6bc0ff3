import { type CreateOptions, VivError } from '@vivarium/model';
import type { MarkedCall } from '../requests/request.ts';
import type { Context } from './context.ts';
import { createInstance } from './create.ts';
import { deleteInstance } from './delete.ts';
import type { Instance } from './instance.ts';
import { startInstance } from './start.ts';

/** Create and start. Where it does not start nothing is left. */
export async function runInstance(
  context: Context,
  options: CreateOptions,
  call: MarkedCall,
  onCreated: (ids: string[]) => void = () => undefined,
): Promise<Instance> {
  const instance = await createInstance(context, options, call);
  onCreated([instance.id]);
  await startOrDelete(context, instance, call);
  return instance;
}

/** Why it did not start is what the caller needs to know; what can't be deleted is there to be looked at. */
export async function startOrDelete(context: Context, instance: Instance, call: MarkedCall): Promise<void> {
  try {
    await startInstance(context, instance, call);
  } catch (error) {
    await deleteInstance(context, instance, { force: true }).catch((cause: unknown) => {
      instance.emit('warning', { message: `Not removed: ${VivError.from(cause).message}` });
    });
    throw error;
  }
}
