import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';
import { endLine } from '../../render/operations.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<id...>',
  options(parser) {
    parser.option('--json', 'print the operations as JSON, a line for each');
  },
  notes: [
    'Returns when the steps are taken back, and prints how each ended: one that was done before it could be cancelled is done.',
  ],
  examples: [['viv operation cancel "$id"', 'what it began is undone']],
  run: (context, ids, flags) =>
    forEachOf(context, ids, async (id, vivarium) => {
      const report = await vivarium.operations.cancel(id);
      return flags.json ? `${JSON.stringify(report)}\n` : endLine(report);
    }),
});
