import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';
import { pickSnapshot, snapshotsOf } from '../../snapshots.ts';

export const command = defineCommand({
  arguments: '<name> <snapshot...>',
  completes: ['instance', 'snapshot'],
  notes: ['Copies that were made of it, and VMs that were restored from it, go on.'],
  examples: [
    ['viv snapshot rm web snap1 snap2', 'remove two'],
    ['viv snapshot rm web $(viv snapshot ls -q web)', 'remove all of one VM'],
  ],
  async run(context, [name = '', ...wanted]) {
    const source = await snapshotsOf(await context.vivarium(), name);
    return forEachOf(context, wanted, async (snapshot, vivarium) => {
      const found = pickSnapshot(source, snapshot);
      await vivarium.snapshots.remove(found.id);
      return `${found.name}\n`;
    });
  },
});
