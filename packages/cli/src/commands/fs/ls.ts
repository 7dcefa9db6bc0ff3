import { defineCommand } from '../../command.ts';
import { widthOf } from '../../context.ts';
import { parseGuestPath } from '../../flags/guest-path.ts';
import { fileColumns } from '../../render/files.ts';
import { renderTable } from '../../render/table.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '<name:path>',
  completes: ['guest-path'],
  options(parser) {
    parser.option('-q, --quiet', 'names only').option('--json', 'print JSON');
  },
  examples: [['viv fs ls web:/srv', 'what is in a directory']],
  async run(context, [target = ''], flags) {
    const { vm, path } = parseGuestPath(target);
    const { files } = await (await context.vivarium()).get(vm);
    const entries = await files.list(path);
    if (flags.json) await context.printJson(entries);
    else if (flags.quiet) await context.print(entries.map(({ name }) => `${name}\n`).join(''));
    else {
      const table = { width: widthOf(context.stdout), style: context.style };
      await context.print(renderTable(fileColumns(), entries, table));
    }
    return 0;
  },
});
