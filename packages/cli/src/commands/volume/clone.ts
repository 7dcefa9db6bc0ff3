import { defineCommand } from '../../command.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<volume> [name]',
  completes: ['volume', 'none'],
  options(parser) {
    parser.option('--json', 'print the new volume as JSON');
  },
  notes: [
    'Milliseconds, whatever the size. Of a volume that a running VM writes to it is what the disk holds, as after a power failure.',
  ],
  examples: [['viv volume clone data data-test', 'one to try things on']],
  async run(context, [volume = '', name], { json }) {
    const { volumes } = await context.vivarium();
    const options = { signal: context.signal, ...(name === undefined ? {} : { name }) };
    const made = await volumes.clone(volume, options);
    await (json ? context.printJson(made) : context.print(`${made.name}\n`));
    return 0;
  },
});
