import { isVivError, VivError } from '@vivarium/model';
import type { Context } from '../instances/context.ts';
import { deleteInstance } from '../instances/delete.ts';
import type { Instance } from '../instances/instance.ts';

/** How many VMs are removed at once. */
const atOnce = 8;

/** Ends and deletes a VM, whatever is being done with it. @throws VivError where not all of it can be removed. */
export async function discard(context: Context, instance: Instance): Promise<void> {
  for (;;) {
    try {
      return await deleteInstance(context, instance, { force: true });
    } catch (error) {
      // Held by what gives way to nobody, and is short: an acquire, a rename.
      if (!isVivError(error, 'busy')) throw error;
      await instance.operation?.ended;
    }
  }
}

/** @throws VivError the first failure, after every other one has been discarded. */
export async function discardAll(context: Context, instances: readonly Instance[]): Promise<void> {
  const left = [...instances];
  const failures: { name: string; error: VivError }[] = [];
  const next = async () => {
    for (let instance = left.shift(); instance !== undefined; instance = left.shift()) {
      const { name } = instance.record;
      await discard(context, instance).catch((error: unknown) => {
        failures.push({ name, error: VivError.from(error) });
      });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, next));
  const [first] = failures;
  if (first === undefined) return;
  throw new VivError(
    first.error.code,
    `${failures.map(({ name }) => name).join(', ')} could not be removed: ${first.error.message}`,
    { hint: 'Remove the cause, and try again.', cause: first.error },
  );
}
