import { defineCommand } from '../../command.ts';
import { filesAt } from '../../flags/guest-path.ts';
import { fileColumns } from '../../render/files.ts';
import { printList } from '../../render/table.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '<name:path>',
  completes: ['guest-path'],
  options(parser) {
    parser.option('-q, --quiet', 'names only').option('--json', 'print JSON');
  },
  examples: [['viv fs ls web:/srv', 'what is in a directory']],
  async run(context, [target = ''], flags) {
    const { files, path } = await filesAt(context, target);
    const found = await files.list(path);
    await printList(context, found, flags, { columns: fileColumns(), word: ({ name }) => name });
    return 0;
  },
});
