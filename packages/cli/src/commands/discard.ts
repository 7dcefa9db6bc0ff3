import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';

export const command = defineCommand<ActionFlags>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser.option('--json', 'print what changed as JSON, a line for each');
  },
  notes: ['The disk stays as it was when the VM was suspended: as if its plug had been pulled then.'],
  examples: [['viv discard web', 'it is stopped, and the next start boots it']],
  run: (context, names, flags) =>
    actOnEach(context, names, flags, (vm) => vm.discard({ signal: context.signal })),
});
