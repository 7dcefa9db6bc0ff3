import { defineCommand } from '../../command.ts';
import { widthOf } from '../../context.ts';
import { poolColumns } from '../../render/pools.ts';
import { renderTable } from '../../render/table.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('-q, --quiet', 'names only').option('--json', 'print JSON');
  },
  examples: [['viv pool ls', 'how many are ready, and what stands in the way of the others']],
  async run(context, _args, flags) {
    const found = await (await context.vivarium()).pools.list();
    if (flags.json) await context.printJson(found);
    else if (flags.quiet) await context.print(found.map(({ name }) => `${name}\n`).join(''));
    else
      await context.print(
        renderTable(poolColumns(), found, { width: widthOf(context.stdout), style: context.style }),
      );
    return 0;
  },
});
