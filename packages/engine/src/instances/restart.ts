import type { ActionResult, CallOptions } from '@vivarium/model';
import type { Context } from './context.ts';
import type { Instance } from './instance.ts';
import { startInstance } from './start.ts';
import { stopInstance } from './stop.ts';
import { removeAfterExit } from './watch.ts';

/** A stop and a start. What is removed at its end stays for it, and goes when it does not start again. */
export async function restartInstance(
  context: Context,
  instance: Instance,
  options: CallOptions & { timeoutMs?: number },
): Promise<ActionResult> {
  instance.restarts += 1;
  try {
    await stopInstance(context, instance, { ...options, holdsBack: false });
    return await startInstance(context, instance, options);
  } finally {
    instance.restarts -= 1;
    await removeAfterExit(context, instance);
  }
}
