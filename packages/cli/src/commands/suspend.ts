import { asyncOption } from '../background.ts';
import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';
import { forOne } from '../render/progress.ts';

export const command = defineCommand<ActionFlags & { quiet?: boolean }>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    asyncOption(parser)
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print what changed as JSON, a line for each');
  },
  notes: [
    'The memory is saved to disk and costs none any more. `viv start` goes on with every process where it was; `viv start --cold` and ' +
      '`viv discard` give it up. Suspending a suspended VM changes nothing and is no error.',
  ],
  examples: [
    ['viv suspend web db', 'both leave the memory of this host'],
    ['viv start web', 'and one goes on'],
  ],
  run: async (context, names, flags) => {
    const act = forOne(context, names, flags);
    return actOnEach(
      context,
      names,
      flags,
      (vm) => act((call) => vm.suspend(call)),
      (vm) => vm.suspend(),
    );
  },
});
