import { defineCommand } from '../../command.ts';
import { printFound } from '../../render/template.ts';

export const command = defineCommand<{ format?: string; json?: boolean }>({
  arguments: '<id...>',
  options(parser) {
    parser
      .option('-f, --format <template>', 'a line for each, as in {{.state}} {{.error.message}}')
      .option('--json', 'print JSON (it always does)');
  },
  notes: ['Prints one object for one operation, and an array for several.'],
  examples: [['viv operation inspect -f \'{{.state}}\' "$id"', 'one field']],
  async run(context, ids, { format }) {
    const { operations } = await context.vivarium();
    const found = await Promise.all(ids.map((id) => operations.get(id)));
    await printFound(context, found, format);
    return 0;
  },
});
