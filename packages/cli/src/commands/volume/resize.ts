import { formatSize, parseSize } from '@vivarium/model';
import { defineCommand } from '../../command.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<volume> <size>',
  completes: ['volume', 'none'],
  options(parser) {
    parser.option('--json', 'print the volume as JSON');
  },
  notes: ['A running VM that writes to it has the room at once. Volumes do not shrink.'],
  examples: [['viv volume resize data 40GB', 'room for more']],
  async run(context, [volume = '', size = ''], { json }) {
    const bytes = parseSize(size, 'volume size');
    const info = await (await context.vivarium()).volumes.resize(volume, bytes);
    await (json ? context.printJson(info) : context.print(`${info.name} ${formatSize(info.sizeBytes)}\n`));
    return 0;
  },
});
