import { defineCommand } from '../../command.ts';

export const command = defineCommand<{ force?: boolean; json?: boolean }>({
  arguments: '<name> <volume>',
  completes: ['instance', 'volume'],
  options(parser) {
    parser
      .option('-f, --force', 'also from processes that use it: they find that it is gone')
      .option('--json', 'print the VM as JSON');
  },
  notes: [
    'In a VM that runs it is unmounted first; where something uses it nothing is done, and who it is is said. What was written to an ' +
      'overlay is given up.',
  ],
  examples: [['viv volume detach web data', 'take it away']],
  async run(context, [name = '', volume = ''], { force, json }) {
    const vm = await (await context.vivarium()).get(name);
    const info = await vm.volumes.detach(volume, { signal: context.signal, ...(force ? { force } : {}) });
    await (json ? context.printJson(info) : context.print(`${volume}\n`));
    return 0;
  },
});
