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
    return actOnEach(context, names, flags, (vm) =>
      vm.start({ signal: context.signal, onProgress }).then(done(progress)),
    );
  },
});

/** Takes the live display away before the result is printed. */
function done<T>(display: Disposable): (result: T) => T {
  return (result) => {
    display[Symbol.dispose]();
    return result;
  };
}
