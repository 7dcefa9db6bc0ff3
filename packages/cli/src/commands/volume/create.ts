import { defineCommand, repeat } from '../../command.ts';
import { parseTags } from '../../flags/values.ts';

export const command = defineCommand<{ size?: string; id?: string; label?: string[]; json?: boolean }>({
  arguments: '[name]',
  completes: ['none'],
  options(parser) {
    parser
      .option('-s, --size <size>', 'how much it holds at most, sparse (default: 10GB)')
      .option('--id <id>', 'an id of your own (default: an invented one)')
      .option('-l, --label <key=value>', 'tag the volume', repeat)
      .option('--json', 'print the volume as JSON');
  },
  notes: ['An ext4 file system. An empty one takes next to no room, whatever its size.'],
  examples: [
    ['viv volume create data --size 20GB', 'make it'],
    ['viv run -v data:/var/lib/app app', 'use it'],
  ],
  async run(context, [name], { size = '10GB', id, label = [], json }) {
    const { volumes } = await context.vivarium();
    const made = await volumes.create({
      size,
      tags: parseTags(label, '--label'),
      ...(name === undefined ? {} : { name }),
      ...(id === undefined ? {} : { id }),
    });
    await (json ? context.printJson(made) : context.print(`${made.name}\n`));
    return 0;
  },
});
