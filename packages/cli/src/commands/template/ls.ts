import { defineCommand } from '../../command.ts';
import { widthOf } from '../../context.ts';
import { renderTable } from '../../render/table.ts';
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
    if (flags.json) await context.printJson(found);
    else if (flags.quiet) await context.print(found.map(({ id }) => `${id}\n`).join(''));
    else
      await context.print(
        renderTable(templateColumns(), found, { width: widthOf(context.stdout), style: context.style }),
      );
    return 0;
  },
});
