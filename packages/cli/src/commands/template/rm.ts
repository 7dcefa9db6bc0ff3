import { formatSize, VivError } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';

export const command = defineCommand<{ all?: boolean; json?: boolean }>({
  arguments: '[id...]',
  completes: ['template'],
  options(parser) {
    parser.option('-a, --all', 'all of them').option('--json', 'print what was freed as JSON');
  },
  notes: ['VMs that were started from them go on. The next start that needs one makes it again.'],
  examples: [
    ['viv template rm 0123456789ab', 'by id or the beginning of one'],
    ['viv template rm --all', 'give the room back'],
  ],
  async run(context, ids, flags) {
    if ((flags.all === true) === ids.length > 0) {
      throw new VivError('invalid_request', 'Either ids or --all: which templates are to go?', {
        hint: 'See `viv template ls`.',
      });
    }
    const told = (freed: { freedBytes: number }, what: string) =>
      flags.json ? `${JSON.stringify(freed)}\n` : `${what} (${formatSize(freed.freedBytes)} freed)\n`;
    if (flags.all) {
      await context.print(told(await (await context.vivarium()).templates.clear(), 'all removed'));
      return 0;
    }
    return forEachOf(context, ids, async (id, { templates }) => told(await templates.remove(id), id));
  },
});
