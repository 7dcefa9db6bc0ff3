import { isVivError } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { forEachOf } from '../each.ts';

export const command = defineCommand<{ force?: boolean }>({
  arguments: '<name...>',
  completes: ['instance'],
  options(parser) {
    parser.option('-f, --force', 'also VMs that run; and no error where there is no such VM');
  },
  examples: [
    ['viv rm old', 'delete a stopped VM and its disk'],
    ['viv rm -f web db', 'whatever they are doing'],
  ],
  run(context, names, flags) {
    return forEachOf(context, names, async (name, vivarium) => {
      try {
        const vm = await vivarium.get(name);
        await vm.delete({ signal: context.signal, ...(flags.force ? { force: true } : {}) });
      } catch (error) {
        if (!(flags.force && isVivError(error, 'not_found'))) throw error;
        context.note(`viv: no VM is named ${JSON.stringify(name)}`);
        return '';
      }
      return `${name}\n`;
    });
  },
});
