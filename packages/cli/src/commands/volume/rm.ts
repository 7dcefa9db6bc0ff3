import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';

export const command = defineCommand({
  arguments: '<volume...>',
  completes: ['volume'],
  notes: ['One that a VM has is refused, also where that is stopped. Clones and snapshots of it go on.'],
  examples: [['viv volume rm data', 'and everything in it']],
  async run(context, wanted) {
    return forEachOf(context, wanted, async (volume, { volumes }) => {
      await volumes.remove(volume);
      return `${volume}\n`;
    });
  },
});
