import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';

export const command = defineCommand<ActionFlags>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser.option('--json', 'print what changed as JSON, a line for each');
  },
  examples: [['viv prepare web && viv start web', 'everything but the boot now, the boot when it is wanted']],
  run: (context, names, flags) =>
    actOnEach(context, names, flags, (vm) => vm.prepare({ signal: context.signal })),
});
