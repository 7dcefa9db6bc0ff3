import { defineCommand } from '../../command.ts';

export const command = defineCommand<{ signal?: string }>({
  arguments: '<name> <session...>',
  completes: ['instance', 'none'],
  options(parser) {
    parser.option('-s, --signal <name>', 'only send this signal (default: kill it, and forget it)');
  },
  examples: [
    ['viv session kill web exec-1a2b', 'gone, with all it has started'],
    ['viv session kill -s INT web exec-1a2b', 'as Ctrl-C would'],
  ],
  async run(context, [name = '', ...ids], flags) {
    const { sessions } = await (await context.vivarium()).get(name);
    for (const id of ids) {
      if (flags.signal === undefined) await sessions.kill(id);
      else await sessions.signal(id, `SIG${flags.signal.toUpperCase().replace(/^SIG/, '')}`);
    }
    return 0;
  },
});
