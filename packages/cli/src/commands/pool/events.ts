import type { PoolEvent } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { parseCount } from '../../flags/values.ts';
import { eventLine } from '../../render/events.ts';

export const command = defineCommand<{ since?: string; json?: boolean }>({
  arguments: '<name>',
  completes: ['pool', 'none'],
  options(parser) {
    parser
      .option('--since <sequence-number>', 'those after this one first (default: only new ones)')
      .option('--json', 'print JSON, a line for each');
  },
  notes: ['Ends with the pool, or with Ctrl-C.'],
  examples: [['viv pool events --since 0 shells', 'its whole story']],
  async run(context, [name = ''], flags) {
    const since = flags.since === undefined ? undefined : parseCount(flags.since, '--since', 0);
    const pool = await (await context.vivarium()).pools.get(name);
    const events = pool.events({ signal: context.signal, ...(since === undefined ? {} : { since }) });
    for await (const event of events) {
      if (flags.json) await context.printJson(event, 'line');
      else await context.print(`${line(event)}\n`);
    }
    return 0;
  },
});

function line({ seq, at, pool, type, instanceId, data }: PoolEvent): string {
  return eventLine({
    seq,
    at,
    about: pool,
    type,
    data: instanceId === undefined ? data : { instanceId, ...data },
  });
}
