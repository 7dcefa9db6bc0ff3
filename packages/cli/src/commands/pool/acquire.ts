import { defineCommand } from '../../command.ts';
import { forOne } from '../../render/progress.ts';

export const command = defineCommand<{ quiet?: boolean; json?: boolean }>({
  arguments: '<name>',
  completes: ['pool', 'none'],
  options(parser) {
    parser.option('-q, --quiet', 'no progress').option('--json', 'print the VM as JSON');
  },
  notes: [
    'Prints the name of a VM that runs, and waits for one where none is ready. It is yours until you release or delete it; the pool makes ' +
      'another one in its place.',
  ],
  examples: [['vm=$(viv pool acquire shells) && viv exec "$vm" -- uname -a', 'take one and use it']],
  async run(context, [name = ''], flags) {
    const pool = await (await context.vivarium()).pools.get(name);
    const vm = await forOne(context, [], flags)((call) => pool.acquire(call));
    await (flags.json ? context.printJson(vm.info) : context.print(`${vm.name}\n`));
    return 0;
  },
});
