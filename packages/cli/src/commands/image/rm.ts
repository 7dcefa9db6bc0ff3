import { formatSize } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<reference...>',
  completes: ['image'],
  options(parser) {
    parser.option('--json', 'print what was removed as JSON, a line for each');
  },
  notes: ['Refused while a VM stands on the image. Layers that another image shares stay.'],
  examples: [['viv image rm app:1', 'free what only it had']],
  run(context, references, flags) {
    return forEachOf(context, references, async (reference, { images }) => {
      const removed = await images.remove(reference);
      if (flags.json) return `${JSON.stringify(removed)}\n`;
      const lines = removed.untagged.map((name) => `untagged ${name}\n`);
      if (removed.deleted)
        lines.push(`deleted ${removed.digest} (${formatSize(removed.freedBytes)} freed)\n`);
      return lines.join('');
    });
  },
});
