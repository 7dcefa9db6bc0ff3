import { defineCommand, repeat } from '../../command.ts';
import { widthOf } from '../../context.ts';
import { parseTags } from '../../flags/values.ts';
import { renderTable } from '../../render/table.ts';
import { volumeColumns } from '../../render/volumes.ts';

export const command = defineCommand<{ label?: string[]; quiet?: boolean; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser
      .option('-l, --label <key=value>', 'only volumes with this tag', repeat)
      .option('-q, --quiet', 'names only')
      .option('--json', 'print JSON');
  },
  examples: [['viv volume ls', 'all of them, and who has them']],
  async run(context, _, { label = [], quiet, json }) {
    const { volumes } = await context.vivarium();
    const found = await volumes.list({ tags: parseTags(label, '--label') });
    if (json) await context.printJson(found);
    else if (quiet) await context.print(found.map(({ name }) => `${name}\n`).join(''));
    else
      await context.print(
        renderTable(volumeColumns(), found, { width: widthOf(context.stdout), style: context.style }),
      );
    return 0;
  },
});
