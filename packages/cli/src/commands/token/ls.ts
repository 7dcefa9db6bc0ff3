import { defineCommand } from '../../command.ts';
import { widthOf } from '../../context.ts';
import { renderTable } from '../../render/table.ts';
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
    if (flags.json) await context.printJson(found);
    else if (flags.quiet) await context.print(found.map(({ id }) => `${id}\n`).join(''));
    else
      await context.print(
        renderTable(tokenColumns(), found, { width: widthOf(context.stdout), style: context.style }),
      );
    return 0;
  },
});
