import { defineCommand } from '../command.ts';
import { type ActionFlags, actOnEach } from '../each.ts';
import { progressView } from '../render/progress.ts';

export const command = defineCommand<ActionFlags & { quiet?: boolean }>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print what changed as JSON, a line for each');
  },
  notes: ['Starting a VM that runs changes nothing and is no error.'],
  examples: [['viv start web db', 'start two']],
  run: async (context, names, flags) => {
    using progress = progressView(context, { quiet: flags.quiet === true || names.length > 1 });
    const { onProgress } = progress;
    return await actOnEach(context, names, flags, async (vm) => {
      try {
        return await vm.start({ signal: context.signal, onProgress });
      } finally {
        // Before the result, or what went wrong, is printed: it would be erased with the display.
        progress[Symbol.dispose]();
      }
    });
  },
});
