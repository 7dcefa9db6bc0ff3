import type { ActionResult, Task, Vivarium, Vm } from '@vivarium/model';
import { type AsyncFlags, detachedLine } from './background.ts';
import type { Context } from './context.ts';
import { reportFailure } from './failure.ts';

/**
 * Does one thing to each of several VMs at the same time, and reports each in the order given: its line on stdout, or
 * what went wrong on stderr. One failure does not stop the others; the exit status is the first failure's.
 */
export async function forEachOf(
  context: Context,
  names: readonly string[],
  act: (name: string, vivarium: Vivarium) => Promise<string>,
): Promise<number> {
  const vivarium = await context.vivarium();
  const unique = [...new Set(names)];
  const outcomes = await Promise.allSettled(unique.map((name) => act(name, vivarium)));
  let status = 0;
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === 'fulfilled') await context.print(outcome.value);
    else {
      // With one name its error says which; with several the reader needs to be told.
      const failed = reportFailure(context, outcome.reason, unique.length > 1 ? unique[index] : undefined);
      status ||= failed;
    }
  }
  return status;
}

export interface ActionFlags extends AsyncFlags {
  json?: boolean;
}

/**
 * {@link forEachOf} for the life cycle's actions: prints the names, or with `--json` what each action answered. With `--async`: the
 * operations that `task` is left as.
 */
export function actOnEach(
  context: Context,
  names: readonly string[],
  flags: ActionFlags,
  act: (vm: Vm) => PromiseLike<ActionResult>,
  task?: (vm: Vm) => Task<ActionResult>,
): Promise<number> {
  return forEachOf(context, names, async (name, vivarium) => {
    const vm = await vivarium.get(name);
    if (flags.async && task !== undefined) return detachedLine(task(vm), flags);
    const { changed, state } = await act(vm);
    return flags.json ? `${JSON.stringify({ id: vm.id, name: vm.name, changed, state })}\n` : `${name}\n`;
  });
}
