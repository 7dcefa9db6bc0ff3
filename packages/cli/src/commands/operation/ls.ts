import { type OperationReport, type OperationState, VivError } from '@vivarium/model';
import { defineCommand, repeat } from '../../command.ts';
import { parseCount } from '../../flags/values.ts';
import { operationColumns } from '../../render/operations.ts';
import { printList } from '../../render/table.ts';

interface Flags {
  instance?: string;
  state?: string[];
  action?: string[];
  limit?: string;
  quiet?: boolean;
  json?: boolean;
}

const states: readonly OperationState[] = ['pending', 'running', 'done', 'undone', 'failed', 'cancelled'];

export const command = defineCommand<Flags>({
  arguments: '',
  options(parser) {
    parser
      .option('--instance <name>', 'only of this VM')
      .option('--state <state>', `only in this state: ${states.join(', ')}; may be repeated`, repeat)
      .option('--action <action>', 'only this action: start, run, pull, …; may be repeated', repeat)
      .option('-n, --limit <count>', 'at most so many (default: 20)')
      .option('-q, --quiet', 'ids only')
      .option('--json', 'print JSON');
  },
  notes: [
    'Newest first. An operation that is a part of another one, as a start is of a run, names it as PART OF.',
  ],
  examples: [
    ['viv operation ls --state running', 'what is being done now'],
    ['viv operation ls --instance web --json', 'all that was done to one VM'],
  ],
  async run(context, _args, flags) {
    const wanted = flags.state?.map(stateOf);
    const limit = flags.limit === undefined ? 20 : parseCount(flags.limit, '--limit', 1);
    const { operations } = await context.vivarium();
    const found: OperationReport[] = [];
    const filter = { instance: flags.instance, states: wanted, actions: flags.action };
    for await (const report of operations.all({ ...filter, limit: Math.min(limit, 1000) })) {
      found.push(report);
      if (found.length >= limit) break;
    }
    await printList(context, found, flags, { columns: operationColumns(), word: ({ id }) => id });
    return 0;
  },
});

function stateOf(text: string): OperationState {
  const found = states.find((state) => state === text.toLowerCase());
  if (found !== undefined) return found;
  throw new VivError('invalid_request', `--state ${text}: no state of an operation`, {
    hint: `Known are ${states.join(', ')}.`,
  });
}
