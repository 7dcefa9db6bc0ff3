import { defineCommand } from '../../command.ts';

export const command = defineCommand({
  arguments: '',
  examples: [['viv daemon start', 'have it ready before the first VM']],
  async run(context) {
    await context.vivarium();
    return 0;
  },
});
