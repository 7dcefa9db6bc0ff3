import { defineCommand } from '../../command.ts';
import { filesAt } from '../../flags/guest-path.ts';
import { parseMode } from '../../flags/values.ts';

export const command = defineCommand<{ parents?: boolean; mode?: string }>({
  arguments: '<name:path...>',
  completes: ['guest-path'],
  options(parser) {
    parser
      .option('-p, --parents', 'make what is missing on the way too; one that is there is no error')
      .option('-m, --mode <octal>', 'permission bits', '755');
  },
  examples: [['viv fs mkdir -p web:/srv/a/b', 'with all on the way']],
  async run(context, targets, flags) {
    const mode = parseMode(flags.mode ?? '755', '--mode');
    for (const target of targets) {
      const { files, path } = await filesAt(context, target);
      await files.mkdir(path, { mode, ...(flags.parents ? { parents: true } : {}) });
    }
    return 0;
  },
});
