import type { CallOptions, Vm } from '@vivarium/model';
import type { Context } from './context.ts';
import { forOne } from './render/progress.ts';

/** Makes copies with the progress of that, and prints their names, or with `--json` each as it is. */
export async function printCopies(
  context: Context,
  flags: { quiet?: boolean; json?: boolean },
  copy: (call: CallOptions) => PromiseLike<Vm[]>,
): Promise<number> {
  const copies = await forOne(context, [], flags)(copy);
  for (const { name, info } of copies) {
    if (flags.json) await context.printJson(info, 'line');
    else await context.print(`${name}\n`);
  }
  return 0;
}
