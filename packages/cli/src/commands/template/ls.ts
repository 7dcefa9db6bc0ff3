import { defineCommand } from '../../command.ts';
import { printList } from '../../render/table.ts';
import { templateColumns } from '../../render/templates.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('-q, --quiet', 'ids only').option('--json', 'print JSON');
  },
  notes: ['Most recently used first.'],
  examples: [['viv template ls', 'what starts need not boot any more']],
  async run(context, _args, flags) {
    const found = await (await context.vivarium()).templates.list();
    await printList(context, found, flags, { columns: templateColumns(), word: ({ id }) => id });
    return 0;
  },
});
