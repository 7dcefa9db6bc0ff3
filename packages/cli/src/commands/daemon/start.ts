import { defineCommand } from '../../command.ts';

export const command = defineCommand({
  arguments: '',
  examples: [['viv daemon start', 'have it ready before the first VM']],
  async run(context) {
    // Connecting alone starts nothing: the first question does.
    await (await context.vivarium()).list({ limit: 1 });
    return 0;
  },
});
