import { defineCommand } from '../../command.ts';
import { renderTree } from '../../render/snapshot-tree.ts';
import { snapshotsOf } from '../../snapshots.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<name>',
  completes: ['instance'],
  options(parser) {
    parser.option('--json', 'print the VM, its place and its snapshots as JSON');
  },
  notes: [
    'A snapshot grows from the one that was taken or restored last before it; `◀ now` marks the one that the VM stands on, which its next ' +
      'snapshot will grow from.',
  ],
  examples: [['viv snapshot tree web', 'where it came from, and where it went']],
  async run(context, [name = ''], flags) {
    const { info, snapshots, ...source } = await snapshotsOf(await context.vivarium(), name);
    if (flags.json) {
      await context.printJson({
        name: source.name,
        ...(info === undefined ? {} : { instanceId: info.id, state: info.state }),
        ...(info?.snapshotId === undefined ? {} : { snapshotId: info.snapshotId }),
        snapshots,
      });
      return 0;
    }
    const heading = `${source.name} (${info?.state ?? 'Deleted'})`;
    await context.print(renderTree(heading, snapshots, { current: info?.snapshotId, style: context.style }));
    return 0;
  },
});
