import { defineCommand } from '../command.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '<name> <new-name>',
  completes: ['instance', 'none'],
  options(parser) {
    parser.option('--json', 'print the VM as JSON');
  },
  examples: [['viv rename web www', 'the id stays']],
  async run(context, [name = '', newName = ''], flags) {
    const vm = await (await context.vivarium()).get(name);
    const info = await vm.rename(newName);
    await (flags.json ? context.printJson(info) : context.print(`${info.name}\n`));
    return 0;
  },
});
