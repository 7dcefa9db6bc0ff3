import { defineCommand } from '../../command.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<reference> <new-reference>',
  completes: ['image', 'none'],
  options(parser) {
    parser.option('--json', 'print the image as JSON');
  },
  examples: [['viv image tag app:1 app:stable', 'a second name']],
  async run(context, [reference = '', newReference = ''], flags) {
    const image = await (await context.vivarium()).images.tag(reference, newReference);
    if (flags.json) await context.printJson(image);
    return 0;
  },
});
