import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';

export const command = defineCommand<ActionFlags>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser.option('--json', 'print what changed as JSON, a line for each');
  },
  examples: [['viv resume web db', 'both go on where they were']],
  run: (context, names, flags) =>
    actOnEach(context, names, flags, (vm) => vm.resume({ signal: context.signal })),
});
