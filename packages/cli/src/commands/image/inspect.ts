import { defineCommand } from '../../command.ts';
import { printFound } from '../../render/template.ts';

export const command = defineCommand<{ format?: string; json?: boolean }>({
  arguments: '<reference...>',
  completes: ['image'],
  options(parser) {
    parser
      .option('-f, --format <template>', 'a line for each, as in {{.digest}} {{json .config.cmd}}')
      .option('--json', 'print JSON (it always does)');
  },
  notes: ['Prints one object for one image, and an array for several.'],
  examples: [["viv image inspect -f '{{json .config.entrypoint}}' app:1", 'what it starts']],
  async run(context, references, { format }) {
    const { images } = await context.vivarium();
    const found = await Promise.all(references.map((reference) => images.get(reference)));
    await printFound(context, found, format);
    return 0;
  },
});
