import { defineCommand } from '../command.ts';
import { parseCount } from '../flags/values.ts';
import { eventLine } from '../render/events.ts';

export const command = defineCommand<{ since?: string; instance?: string; json?: boolean }>({
  arguments: '',
  options(parser) {
    parser
      .option('--since <sequence-number>', 'stored events after this one first (default: only new ones)')
      .option('--instance <name>', 'only of this VM')
      .option('--json', 'print JSON, a line for each');
  },
  examples: [
    ['viv events', 'from now on, until Ctrl-C'],
    ['viv events --since 0 --instance web', 'the whole story of one VM'],
  ],
  async run(context, _args, flags) {
    const since = flags.since === undefined ? undefined : parseCount(flags.since, '--since', 0);
    const vivarium = await context.vivarium();
    const events = vivarium.events({
      signal: context.signal,
      ...(since === undefined ? {} : { since }),
      ...(flags.instance === undefined ? {} : { instance: flags.instance }),
    });
    for await (const event of events) {
      if (flags.json) await context.printJson(event, 'line');
      else await context.print(`${eventLine({ ...event, about: event.instanceName })}\n`);
    }
    return 0;
  },
});
