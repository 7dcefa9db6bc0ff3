import { formatSize, parseSize, type ReclaimAction } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { type Column, printTable } from '../render/table.ts';

const columns: Column<ReclaimAction>[] = [
  { title: 'NAME', value: ({ instanceName }) => instanceName },
  { title: 'IN USE', value: ({ usedBytes }) => formatSize(usedBytes), align: 'right' },
  { title: 'FREED', value: ({ appliedBytes }) => formatSize(appliedBytes), align: 'right' },
  {
    title: 'WHAT',
    value: ({ status, error }) => (error === undefined ? status : `${status}: ${error}`),
    shrinks: true,
  },
];

export const command = defineCommand<{ dryRun?: boolean; reason?: string; json?: boolean }>({
  arguments: '<size>',
  options(parser) {
    parser
      .option('--dry-run', 'only say what would be done')
      .option('--reason <text>', 'for the events that tell of it')
      .option('--json', 'print JSON');
  },
  notes: [
    'Suspends VMs that are idle and would be suspended for that anyway (`viv standby`), those that have been idle for longest first. ' +
      'What is suspended goes on when it is used. Others are left alone.',
  ],
  examples: [['viv reclaim 1GB --dry-run', 'which VMs would give a gigabyte of memory back']],
  async run(context, [size = ''], flags) {
    const { resources } = await context.vivarium();
    const done = await resources.reclaimMemory({
      bytes: parseSize(size, 'amount of memory'),
      signal: context.signal,
      ...(flags.dryRun ? { dryRun: true } : {}),
      ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    });
    if (flags.json) await context.printJson(done);
    else {
      if (done.actions.length > 0) await printTable(context, columns, done.actions);
      const bytes = flags.dryRun ? done.plannedBytes : done.appliedBytes;
      await context.print(
        `${formatSize(bytes)} of ${formatSize(done.requestedBytes)} ${flags.dryRun ? 'would be ' : ''}freed\n`,
      );
    }
    return 0;
  },
});
