import { defineCommand } from '../../command.ts';
import { printFound } from '../../render/template.ts';

export const command = defineCommand<{ format?: string; json?: boolean }>({
  arguments: '<volume...>',
  completes: ['volume'],
  options(parser) {
    parser
      .option('-f, --format <template>', 'a line for each, as in {{.name}} {{.usedBytes}}')
      .option('--json', 'print JSON (it always does)');
  },
  notes: ['Prints one object for one volume, and an array for several.'],
  examples: [["viv volume inspect -f '{{.sizeBytes}}' data", 'one field']],
  async run(context, wanted, { format }) {
    const { volumes } = await context.vivarium();
    const found = await Promise.all(wanted.map((volume) => volumes.get(volume)));
    await printFound(context, found, format);
    return 0;
  },
});
