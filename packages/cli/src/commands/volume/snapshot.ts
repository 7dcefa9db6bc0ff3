import { type AsyncFlags, asyncOption, printDetached } from '../../background.ts';
import { defineCommand } from '../../command.ts';

export const command = defineCommand<AsyncFlags>({
  arguments: '<volume> [name]',
  completes: ['volume', 'none'],
  options(parser) {
    asyncOption(parser).option('--json', 'print the new volume as JSON');
  },
  notes: ['As a clone, and nobody may write to it: attach it with :ro or :overlay, or clone it to go back.'],
  examples: [['viv volume snapshot data data-monday', 'keep it as it is']],
  async run(context, [volume = '', name], flags) {
    const { volumes } = await context.vivarium();
    const options = name === undefined ? {} : { name };
    if (flags.async) return printDetached(context, volumes.snapshot(volume, options), flags);
    const made = await volumes.snapshot(volume, { ...options, signal: context.signal });
    await (flags.json ? context.printJson(made) : context.print(`${made.name}\n`));
    return 0;
  },
});
