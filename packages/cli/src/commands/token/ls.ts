import { defineCommand } from '../../command.ts';
import { printList } from '../../render/table.ts';
import { tokenColumns } from '../../render/tokens.ts';
import { tokensOf } from '../../tokens.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('-q, --quiet', 'ids only').option('--json', 'print JSON');
  },
  notes: [
    'The tokens themselves are kept nowhere. Those that have expired are not listed, revoked ones are.',
  ],
  examples: [['viv token ls', 'who may call']],
  async run(context, _args, flags) {
    const found = await (await tokensOf(context)).list();
    await printList(context, found, flags, { columns: tokenColumns(), word: ({ id }) => id });
    return 0;
  },
});
