import { defineCommand } from '../../command.ts';
import { write } from '../../context.ts';
import { parseCount } from '../../flags/values.ts';

export const command = defineCommand<{ follow?: boolean; offset?: string; json?: boolean }>({
  arguments: '<name> <session>',
  completes: ['instance', 'none'],
  options(parser) {
    parser
      .option('-f, --follow', 'go on until the command has ended')
      .option('--offset <bytes>', 'of stdout, begin there (default: the oldest byte held)')
      .option('--json', 'print JSON, a line for each piece, with offsets');
  },
  notes: ['At least the last mebibyte of each output is held. Whoever is attached stays so.'],
  examples: [['viv session logs -f web exec-1a2b', 'what a command has printed, and what it prints']],
  async run(context, [name = '', id = ''], flags) {
    const { sessions } = await (await context.vivarium()).get(name);
    const options = {
      signal: context.signal,
      ...(flags.follow ? { follow: true } : {}),
      ...(flags.offset === undefined ? {} : { from: { stdout: parseCount(flags.offset, '--offset', 0) } }),
    };
    for await (const { stream, offset, data } of sessions.output(id, options)) {
      const text = Buffer.from(data);
      if (flags.json) await context.printJson({ stream, offset, data: text.toString('base64') }, 'line');
      else await write(stream === 'stderr' ? context.stderr : context.stdout, text);
    }
    return 0;
  },
});
