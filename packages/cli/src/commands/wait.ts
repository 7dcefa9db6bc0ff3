import { type InstanceInfo, isVivError, type Vivarium, VivError } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { forEachOf } from '../each.ts';
import { parseDuration } from '../flags/values.ts';
import { parseFilters } from '../listing.ts';

/** No deadline: the longest that a timer can hold, 24.8 days. */
const forever = 2 ** 31 - 1;

export const command = defineCommand<{ for?: string[]; healthy?: boolean; timeout?: string; json?: boolean }>(
  {
    arguments: '<name...>',
    completes: ['instance'],
    options(parser) {
      parser
        .option('--for <state...>', 'other states to wait for (default: stopped)')
        .option('--healthy', 'wait until their health checks succeed')
        .option('--timeout <seconds>', 'give up after this long (default: never)')
        .option('--json', 'print the VMs as JSON, a line for each');
    },
    notes: ["Prints the exit code of each VM's command, or the state it is in where there is none."],
    examples: [
      ['viv wait job', 'until it has stopped'],
      ['viv wait web --for running --timeout 30', 'until it runs'],
      ['viv wait web --healthy --timeout 60', 'until it answers'],
    ],
    async run(context, names, flags) {
      const timeoutMs = flags.timeout === undefined ? forever : parseDuration(flags.timeout, '--timeout');
      const filter = await parseFilters((flags.for ?? ['stopped']).map((state) => `state=${state}`));
      const states = filter.options.states ?? [];
      if (flags.healthy && flags.for !== undefined)
        throw new VivError('invalid_request', 'Only one of --for and --healthy.');
      return forEachOf(context, names, async (name, vivarium) => {
        if (flags.healthy) {
          const vm = await vivarium.get(name);
          const info = await vm.waitForHealth('healthy', { timeoutMs, signal: context.signal });
          return flags.json ? `${JSON.stringify(info)}\n` : `${info.health?.status}\n`;
        }
        const info = await waitForOne(vivarium, name, states, { timeoutMs, signal: context.signal });
        if (flags.json) return `${JSON.stringify(info)}\n`;
        return `${info.state === 'Stopped' ? (info.exit?.code ?? info.state) : info.state}\n`;
      });
    },
  },
);

async function waitForOne(
  vivarium: Vivarium,
  name: string,
  states: InstanceInfo['state'][],
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<InstanceInfo> {
  const vm = await vivarium.get(name);
  try {
    return await vm.waitFor(states.includes('Stopped') ? [...states, 'Deleted'] : states, options);
  } catch (error) {
    // One that removes itself when it stops may be gone before anybody sees it stopped.
    if (states.includes('Stopped') && isVivError(error, 'not_found')) return { ...vm.info, state: 'Deleted' };
    throw error;
  }
}
