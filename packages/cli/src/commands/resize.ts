import { formatSize, parseSize } from '@vivarium/model';
import { defineCommand } from '../command.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<name> <size>',
  completes: ['instance', 'none'],
  options(parser) {
    parser.option('--json', 'print the VM as JSON');
  },
  notes: ['A running VM has the room at once, a stopped one at its next start. Disks do not shrink.'],
  examples: [['viv resize web 20GB', 'room for more']],
  async run(context, [name = '', size = ''], flags) {
    const bytes = parseSize(size, 'disk size');
    const vm = await (await context.vivarium()).get(name);
    const info = await vm.resizeDisk(bytes);
    await (flags.json
      ? context.printJson(info)
      : context.print(`${info.name} ${formatSize(info.diskBytes)}\n`));
    return 0;
  },
});
