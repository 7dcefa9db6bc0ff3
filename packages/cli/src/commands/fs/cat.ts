import { defineCommand } from '../../command.ts';
import { filesAt } from '../../flags/guest-path.ts';
import { parseCount } from '../../flags/values.ts';

export const command = defineCommand<{ offset?: string; length?: string }>({
  arguments: '<name:path...>',
  completes: ['guest-path'],
  options(parser) {
    parser
      .option('--offset <bytes>', 'begin there')
      .option('--length <bytes>', 'at most so many (default: all that follow)');
  },
  examples: [['viv fs cat --offset 1000 web:/var/log/app.log', 'what has come since']],
  async run(context, targets, flags) {
    const part = {
      ...(flags.offset === undefined ? {} : { offset: parseCount(flags.offset, '--offset', 0) }),
      ...(flags.length === undefined ? {} : { length: parseCount(flags.length, '--length', 0) }),
    };
    for (const target of targets) {
      const { files, path } = await filesAt(context, target);
      await context.print(await files.readFile(path, part));
    }
    return 0;
  },
});
