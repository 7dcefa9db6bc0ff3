import { defineCommand } from '../../command.ts';
import { snapshotColumns } from '../../render/snapshots.ts';
import { printList } from '../../render/table.ts';
import { snapshotsOf } from '../../snapshots.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '[name]',
  completes: ['instance'],
  options(parser) {
    parser.option('-q, --quiet', 'names only; ids where no VM was named').option('--json', 'print JSON');
  },
  notes: [
    'Oldest first. Snapshots outlive their VM: one that was deleted is named as it was then, or by its id.',
  ],
  examples: [
    ['viv snapshot ls', 'of all VMs'],
    ['viv snapshot ls web', 'of one'],
  ],
  async run(context, [name], flags) {
    const vivarium = await context.vivarium();
    const found =
      name === undefined ? await vivarium.snapshots.list() : (await snapshotsOf(vivarium, name)).snapshots;
    await printList(context, found, flags, {
      columns: snapshotColumns(),
      word: (info) => (name === undefined ? info.id : info.name),
    });
    return 0;
  },
});
