import { defineCommand } from '../../command.ts';
import { poolColumns } from '../../render/pools.ts';
import { printList } from '../../render/table.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('-q, --quiet', 'names only').option('--json', 'print JSON');
  },
  examples: [['viv pool ls', 'how many are ready, and what stands in the way of the others']],
  async run(context, _args, flags) {
    const found = await (await context.vivarium()).pools.list();
    await printList(context, found, flags, { columns: poolColumns(), word: ({ name }) => name });
    return 0;
  },
});
