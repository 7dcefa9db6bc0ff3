import { defineCommand } from '../../command.ts';
import { sessionColumns } from '../../render/sessions.ts';
import { printList } from '../../render/table.ts';

export const command = defineCommand<{ all?: boolean; quiet?: boolean; json?: boolean }>({
  arguments: '<name>',
  completes: ['instance'],
  options(parser) {
    parser
      .option('-a, --all', 'health checks that are being made, too')
      .option('-q, --quiet', 'ids only')
      .option('--json', 'print JSON');
  },
  notes: [
    'Running and ended ones, whoever started them; workload:root is the command of the image. Orphaned are those of a copy that ' +
      'were started in its source.',
  ],
  examples: [['viv session ls web', 'the commands in a VM']],
  async run(context, [name = ''], flags) {
    const { sessions } = await (await context.vivarium()).get(name);
    const found = await sessions.list({ all: flags.all });
    await printList(context, found, flags, { columns: sessionColumns(), word: ({ id }) => id });
    return 0;
  },
});
