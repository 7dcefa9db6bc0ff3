import { defineCommand } from '../command.ts';
import { allocationColumns, resourceColumns, resourceRows } from '../render/resources.ts';
import { printTable } from '../render/table.ts';

export const command = defineCommand<{ json?: boolean }>({
  arguments: '',
  options(parser) {
    parser.option('--json', 'print JSON');
  },
  notes: [
    'GIVEN OUT of memory by use is what is not left: what VMs use, what those that run are expected to use beyond that, and whatever else ' +
      'this host does. IN USE is the proportional set size of the VMM. `viv config show` has the factors.',
  ],
  examples: [['viv resources', 'how much of this host is given out, and to whom']],
  async run(context, _args, flags) {
    const resources = await (await context.vivarium()).resources.get();
    if (flags.json) {
      await context.printJson(resources);
      return 0;
    }
    await printTable(context, resourceColumns, resourceRows(resources));
    for (const { controller, by, why } of resources.limitKeepers) {
      if (by === 'none') context.note(`viv: no limit of ${controller} is kept on this host: ${why}`);
    }
    if (resources.allocations.length > 0) {
      await context.print('\n');
      await printTable(context, allocationColumns, resources.allocations);
    }
    return 0;
  },
});
