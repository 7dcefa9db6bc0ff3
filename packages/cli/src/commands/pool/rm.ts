import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';

export const command = defineCommand<{ keepAcquired?: boolean }>({
  arguments: '<name...>',
  completes: ['pool'],
  options(parser) {
    parser.option('--keep-acquired', 'leave VMs alone that were acquired');
  },
  examples: [
    ['viv pool rm shells', 'the pool, what is ready in it, and what was taken from it'],
    ['viv pool rm --keep-acquired shells', 'but nothing that is in use'],
  ],
  run: (context, names, flags) =>
    forEachOf(context, names, async (name, { pools }) => {
      await (await pools.get(name)).remove(flags.keepAcquired ? { keepAcquired: true } : {});
      return `${name}\n`;
    }),
});
