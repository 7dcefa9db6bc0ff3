import type { InstanceInfo } from '@vivarium/model';
import { defineCommand, repeat } from '../command.ts';
import { type ListFlags, listInstances, showInstances } from '../listing.ts';

/** Nothing runs, nothing waits to go on, nothing is wrong: what `ps` leaves away. */
const down: readonly InstanceInfo['state'][] = ['Defined', 'Stopped', 'Deleted'];

/** One that is about to be started again, or was given up, is not simply stopped. */
const isDown = ({ state, restart }: InstanceInfo): boolean =>
  down.includes(state) &&
  restart?.nextAttemptAt === undefined &&
  restart?.blockedReason !== 'max_attempts_exceeded';

export const command = defineCommand<ListFlags & { all?: boolean }>({
  arguments: '',
  options(parser) {
    parser
      .option('-a, --all', 'stopped ones too')
      .option('-f, --filter <key=value>', 'only state=…, tag=KEY[=VALUE], name=PART or image=PART', repeat)
      .option('-q, --quiet', 'names only')
      .option('--format <template>', 'a line for each, as in {{.name}} {{.network.ip}}')
      .option('--json', 'print JSON');
  },
  examples: [
    ['viv ps', 'what is up, or suspended'],
    ['viv ps -a --filter tag=team=web', 'stopped ones too, with a tag'],
    ['viv rm -f $(viv ps -aq --filter state=error)', 'remove what is broken'],
  ],
  async run(context, _args, flags) {
    const found = await listInstances(await context.vivarium(), flags.filter ?? []);
    const asked = flags.all || flags.filter?.some((filter) => filter.startsWith('state='));
    await showInstances(context, asked ? found : found.filter((info) => !isDown(info)), flags);
    return 0;
  },
});
