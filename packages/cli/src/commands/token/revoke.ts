import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';
import { tokensOf } from '../../tokens.ts';

export const command = defineCommand({
  arguments: '<id...>',
  completes: ['token'],
  notes: ['Tokens that were made with it are revoked too. Connections that are open with one of them end.'],
  examples: [['viv token revoke 2f0c41d9', 'by id or the beginning of one']],
  async run(context, ids) {
    return forEachOf(context, ids, async (id) => {
      await (await tokensOf(context)).revoke(id);
      return `${id}\n`;
    });
  },
});
