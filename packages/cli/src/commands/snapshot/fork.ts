import { defineCommand } from '../../command.ts';
import { printCopies } from '../../copies.ts';
import { type CopyFlags, copyOptions, parseCopies } from '../../flags/copies.ts';
import { pickSnapshot, snapshotsOf } from '../../snapshots.ts';

export const command = defineCommand<CopyFlags>({
  arguments: '<name> <snapshot>',
  completes: ['instance', 'snapshot', 'none'],
  options(parser) {
    copyOptions(parser, 'the snapshot')
      .option('-q, --quiet', 'no progress')
      .option('--json', 'print the copies as JSON, a line for each');
  },
  notes: ['Makes new VMs; the one that the snapshot was taken of is left alone, and may be gone.'],
  examples: [
    ['viv snapshot fork web snap1', 'as it was then'],
    ["viv snapshot fork web snap1 -n 5 --name 'try-%d' --running", 'five tries from the same instant'],
  ],
  async run(context, [name = '', snapshot = ''], flags) {
    const options = parseCopies(flags);
    const vivarium = await context.vivarium();
    const { id } = pickSnapshot(await snapshotsOf(vivarium, name), snapshot);
    return printCopies(context, flags, (call) => vivarium.snapshots.fork(id, { ...options, ...call }));
  },
});
