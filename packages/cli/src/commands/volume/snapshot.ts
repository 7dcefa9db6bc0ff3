import { defineCommand } from '../../command.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<volume> [name]',
  completes: ['volume', 'none'],
  options(parser) {
    parser.option('--json', 'print the new volume as JSON');
  },
  notes: ['As a clone, and nobody may write to it: attach it with :ro or :overlay, or clone it to go back.'],
  examples: [['viv volume snapshot data data-monday', 'keep it as it is']],
  async run(context, [volume = '', name], { json }) {
    const { volumes } = await context.vivarium();
    const options = { signal: context.signal, ...(name === undefined ? {} : { name }) };
    const made = await volumes.snapshot(volume, options);
    await (json ? context.printJson(made) : context.print(`${made.name}\n`));
    return 0;
  },
});
