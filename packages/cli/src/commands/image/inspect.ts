import { defineCommand } from '../../command.ts';
import { fillTemplate } from '../../render/template.ts';

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
  async run(context, references, flags) {
    const { images } = await context.vivarium();
    const found = await Promise.all(references.map((reference) => images.get(reference)));
    const { format } = flags;
    if (format !== undefined)
      await context.print(found.map((image) => `${fillTemplate(format, image)}\n`).join(''));
    else await context.printJson(found.length === 1 ? found[0] : found);
    return 0;
  },
});
