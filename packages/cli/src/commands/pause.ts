import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';

export const command = defineCommand<ActionFlags>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser.option('--json', 'print what changed as JSON, a line for each');
  },
  examples: [['viv pause web db', 'both stand still, in memory']],
  run: (context, names, flags) =>
    actOnEach(context, names, flags, (vm) => vm.pause({ signal: context.signal })),
});
