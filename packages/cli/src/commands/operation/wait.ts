import { VivError } from '@vivarium/model';
import { defineCommand } from '../../command.ts';
import { forEachOf } from '../../each.ts';
import { parseDuration } from '../../flags/values.ts';
import { endLine } from '../../render/operations.ts';

export const command = defineCommand<{ timeout?: string; json?: boolean }>({
  arguments: '<id...>',
  options(parser) {
    parser
      .option('--timeout <seconds>', 'give up after this long (default: never)')
      .option('--json', 'print the operations as JSON, a line for each');
  },
  notes: ['One that is not done is an error, with the exit status that the action itself would have had.'],
  examples: [['viv operation wait "$(viv start --async web)"', 'start it, and wait for that later']],
  run(context, ids, flags) {
    const timeoutMs = flags.timeout === undefined ? undefined : parseDuration(flags.timeout, '--timeout');
    return forEachOf(context, ids, async (id, vivarium) => {
      const wait = { signal: context.signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
      const report = await vivarium.operations.wait(id, wait);
      if (flags.json) await context.printJson(report, 'line');
      if (report.error !== undefined) throw VivError.fromRecord(report.error);
      if (report.state !== 'done')
        throw new VivError('cancelled', `The ${report.action} was ${report.state}`);
      return flags.json ? '' : endLine(report);
    });
  },
});
