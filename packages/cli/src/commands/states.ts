import { printState, printStates } from '@vivarium/lifecycle';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  arguments: '[name]',
  completes: ['instance'],
  examples: [
    ['viv states', 'all states, actions and where they lead'],
    ['viv states web', 'what can be done with this VM now'],
  ],
  async run(context, [name]) {
    if (name === undefined) await context.print(`${printStates()}\n`);
    else await context.print(`${printState((await (await context.vivarium()).get(name)).info.state)}\n`);
    return 0;
  },
});
