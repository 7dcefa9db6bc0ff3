import type { Task } from '@vivarium/model';
import type { Command } from 'commander';
import type { Context } from './context.ts';

export interface AsyncFlags {
  async?: boolean;
  json?: boolean;
}

export function asyncOption(parser: Command): Command {
  return parser.option('--async', 'do not wait: print the id of the operation (see `viv operation`)');
}

/** Leaves a long action to the daemon: a line with the operation's id, or with `--json` all of it. */
export async function detachedLine(task: Task<unknown>, { json }: AsyncFlags): Promise<string> {
  const report = await task.detach();
  return json ? `${JSON.stringify(report)}\n` : `${report.id}\n`;
}

export async function printDetached(
  context: Context,
  task: Task<unknown>,
  flags: AsyncFlags,
): Promise<number> {
  await context.print(await detachedLine(task, flags));
  return 0;
}
