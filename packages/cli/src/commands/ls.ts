import { defineCommand, repeat } from '../command.ts';
import { type ListFlags, listInstances, showInstances } from '../listing.ts';

export const command = defineCommand<ListFlags>({
  arguments: '',
  options(parser) {
    parser
      .option('-f, --filter <key=value>', 'only state=…, tag=KEY[=VALUE], name=PART or image=PART', repeat)
      .option('-q, --quiet', 'names only')
      .option('--format <template>', 'a line for each, as in {{.name}} {{.network.ip}}')
      .option('--json', 'print JSON');
  },
  examples: [
    ['viv ls', 'everything there is'],
    ['viv ls --json --filter state=stopped', 'for a program'],
  ],
  async run(context, _args, flags) {
    await showInstances(context, await listInstances(await context.vivarium(), flags.filter ?? []), flags);
    return 0;
  },
});
