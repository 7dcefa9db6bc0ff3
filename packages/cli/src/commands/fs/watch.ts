import { defineCommand } from '../../command.ts';
import { filesAt } from '../../flags/guest-path.ts';

export const command = defineCommand<{ recursive?: boolean; json?: boolean }>({
  arguments: '<name:path>',
  completes: ['guest-path'],
  options(parser) {
    parser
      .option('-r, --recursive', 'all directories below too')
      .option('--json', 'print JSON, a line for each');
  },
  notes: ['Until Ctrl-C, or until it is gone. A line that says lost means that more happened than was kept.'],
  examples: [['viv fs watch -r web:/srv', 'what happens below a directory']],
  async run(context, [target = ''], flags) {
    const { files, path } = await filesAt(context, target);
    const options = { signal: context.signal, ...(flags.recursive ? { recursive: true } : {}) };
    for await (const change of await files.watch(path, options)) {
      const { kind, from } = change;
      if (flags.json) await context.printJson(change, 'line');
      else await context.print(`${kind} ${from === undefined ? '' : `${from} -> `}${change.path}\n`);
    }
    return 0;
  },
});
