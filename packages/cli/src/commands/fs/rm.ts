import { defineCommand } from '../../command.ts';
import { filesAt } from '../../flags/guest-path.ts';

export const command = defineCommand<{ recursive?: boolean; force?: boolean }>({
  arguments: '<name:path...>',
  completes: ['guest-path'],
  options(parser) {
    parser
      .option('-r, --recursive', 'a directory with all below it')
      .option('-f, --force', 'what is not there is no error');
  },
  notes: ['Symbolic links are removed, never followed; what is mounted below is left alone.'],
  examples: [['viv fs rm -r web:/srv/old', 'a tree']],
  async run(context, targets, flags) {
    for (const target of targets) {
      const { files, path } = await filesAt(context, target);
      await files.remove(path, {
        ...(flags.recursive ? { recursive: true } : {}),
        ...(flags.force ? { force: true } : {}),
      });
    }
    return 0;
  },
});
