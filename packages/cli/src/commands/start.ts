import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';
import { forOne } from '../render/progress.ts';

export const command = defineCommand<ActionFlags & { quiet?: boolean; cold?: boolean }>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser
      .option('--cold', 'boot the guest, and give saved memory up once it is up')
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print what changed as JSON, a line for each');
  },
  notes: [
    'A suspended VM goes on where it was. Starting a VM that runs changes nothing and is no error. Without --cold, a boot may be ' +
      'replaced by a template: memory that was booted before.',
  ],
  examples: [
    ['viv start web db', 'start two'],
    ['viv start --cold web', 'its saved memory is of no use any more'],
  ],
  run: async (context, names, flags) => {
    const act = forOne(context, names, flags);
    return actOnEach(context, names, flags, (vm) =>
      act((call) => vm.start({ ...call, ...(flags.cold ? { cold: true } : {}) })),
    );
  },
});
