import { defineCommand, repeat } from '../../command.ts';
import { parseTags } from '../../flags/values.ts';
import { printList } from '../../render/table.ts';
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
  async run(context, _, { label = [], ...flags }) {
    const { volumes } = await context.vivarium();
    const found = await volumes.list({ tags: parseTags(label, '--label') });
    await printList(context, found, flags, { columns: volumeColumns(), word: ({ name }) => name });
    return 0;
  },
});
