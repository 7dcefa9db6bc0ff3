import { defineCommand } from '../command.ts';
import { reportFailure } from '../failure.ts';
import { printFilled } from '../render/template.ts';

export const command = defineCommand<{ format?: string; json?: boolean }>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser
      .option('-f, --format <template>', 'a line for each, as in {{.state}} {{.network.ip}}')
      .option('--json', 'print JSON (it always does)');
  },
  notes: ['Prints one object for one name, and an array for several.'],
  examples: [
    ['viv inspect web', 'everything'],
    ["viv inspect -f '{{.network.ip}}' web", 'one field'],
  ],
  async run(context, names, flags) {
    const vivarium = await context.vivarium();
    const found = await Promise.allSettled(names.map(async (name) => (await vivarium.get(name)).info));
    const infos = found.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const { format } = flags;
    if (format !== undefined) await printFilled(context, format, infos);
    else if (names.length > 1) await context.printJson(infos);
    else if (infos.length === 1) await context.printJson(infos[0]);
    let status = 0;
    for (const outcome of found)
      if (outcome.status === 'rejected') status ||= reportFailure(context, outcome.reason);
    return status;
  },
});
