import posix from 'node:path/posix';
import { isVivError, type VmFiles } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { filesAt, pathIn } from '../../flags/guest-path.ts';

export const command = defineCommand<{ clobber: boolean }>({
  arguments: '<name:from> <to>',
  completes: ['guest-path', 'guest-path'],
  options(parser) {
    parser.option('-n, --no-clobber', 'replace nothing');
  },
  notes: ['Within one file system. Into the target where that is a directory, as with mv.'],
  examples: [['viv fs mv web:/srv/new /srv/current', 'in the same VM']],
  async run(context, [from = '', to = ''], flags) {
    const { vm, files, path } = await filesAt(context, from);
    const target = await landing(files, path, pathIn(vm, to));
    await files.rename(path, target, flags.clobber ? {} : { replace: false });
    return 0;
  },
});

async function landing(files: VmFiles, from: string, to: string): Promise<string> {
  try {
    const { kind } = await files.stat(to, { followLinks: true });
    return kind === 'directory' ? posix.join(to, posix.basename(from)) : to;
  } catch (error) {
    if (isVivError(error, 'path_not_found')) return to;
    throw error;
  }
}
