import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';

export const command = defineCommand({
  arguments: '<name> <vm...>',
  completes: ['pool', 'instance'],
  notes: ['VMs are not used twice: each is ended and deleted.'],
  examples: [['viv pool release shells "$vm"', 'give it back']],
  async run(context, [name = '', ...vms]) {
    const pool = await (await context.vivarium()).pools.get(name);
    return forEachOf(context, vms, async (vm) => {
      await pool.release(vm);
      return `${vm}\n`;
    });
  },
});
