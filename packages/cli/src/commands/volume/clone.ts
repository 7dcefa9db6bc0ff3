import { type AsyncFlags, asyncOption, printDetached } from '../../background.ts';
import { defineCommand } from '../../command.ts';

export const command = defineCommand<AsyncFlags>({
  arguments: '<volume> [name]',
  completes: ['volume', 'none'],
  options(parser) {
    asyncOption(parser).option('--json', 'print the new volume as JSON');
  },
  notes: [
    'Milliseconds, whatever the size. Of a volume that a running VM writes to it is what the disk holds, as after a power failure.',
  ],
  examples: [['viv volume clone data data-test', 'one to try things on']],
  async run(context, [volume = '', name], flags) {
    const { volumes } = await context.vivarium();
    const options = name === undefined ? {} : { name };
    if (flags.async) return printDetached(context, volumes.clone(volume, options), flags);
    const made = await volumes.clone(volume, { ...options, signal: context.signal });
    await (flags.json ? context.printJson(made) : context.print(`${made.name}\n`));
    return 0;
  },
});
