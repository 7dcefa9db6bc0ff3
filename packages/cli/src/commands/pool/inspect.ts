import { defineCommand } from '../../command.ts';
import { printFound } from '../../render/template.ts';

export const command = defineCommand<{ format?: string; json?: boolean }>({
  arguments: '<name...>',
  completes: ['pool'],
  options(parser) {
    parser
      .option('-f, --format <template>', 'a line for each, as in {{.ready}} {{.lastError.message}}')
      .option('--json', 'print JSON (it always does)');
  },
  notes: ['Prints one object for one pool, and an array for several.'],
  examples: [["viv pool inspect -f '{{.health}}' shells", 'one field']],
  async run(context, names, { format }) {
    const { pools } = await context.vivarium();
    const found = await Promise.all(names.map(async (name) => (await pools.get(name)).info));
    await printFound(context, found, format);
    return 0;
  },
});
