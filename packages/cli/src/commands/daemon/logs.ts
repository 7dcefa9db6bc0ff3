import { readFileSync } from 'node:fs';
import { VivError } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { daemonLog } from '../../daemon-process.ts';
import { parseCount } from '../../flags/values.ts';

export const command = defineCommand<{ tail?: string }>({
  arguments: '',
  options(parser) {
    parser.option('-n, --tail <lines>', 'only this many lines from the end (default: all)');
  },
  notes: ['A JSON object on each line. The file itself is named by `viv daemon status --json`.'],
  examples: [['viv daemon logs --tail 20', 'what happened last']],
  async run(context, _args, flags) {
    const file = daemonLog(context.env);
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (cause) {
      throw new VivError('log_not_found', `There is no ${file}: vivd has not run here yet.`, { cause });
    }
    if (flags.tail === undefined) await context.print(text);
    else {
      const count = parseCount(flags.tail, '--tail', 0);
      const lines = text.split('\n').slice(0, -1);
      await context.print(
        lines
          .slice(Math.max(0, lines.length - count))
          .map((line) => `${line}\n`)
          .join(''),
      );
    }
    return 0;
  },
});
