import { defineCommand } from '../../command.ts';
import { parseVolume } from '../../flags/volumes.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<name> <volume:/path[:ro|:overlay]>',
  completes: ['instance', 'volume'],
  options(parser) {
    parser.option('--json', 'print the VM as JSON');
  },
  notes: [
    'A VM that runs has it at once, a stopped one from its next start on. One VM alone can write to a volume, or any number read it: ' +
      'with :ro, or with :overlay and a private layer for what each of them writes.',
  ],
  examples: [
    ['viv volume attach web data:/data', 'to write'],
    ['viv volume attach web models:/models:ro', 'to read, as others do'],
  ],
  async run(context, [name = '', spec = ''], { json }) {
    const volume = parseVolume(spec);
    const vm = await (await context.vivarium()).get(name);
    const info = await vm.volumes.attach(volume, { signal: context.signal });
    await (json ? context.printJson(info) : context.print(`${volume.volume}\n`));
    return 0;
  },
});
