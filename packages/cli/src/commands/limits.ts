import { formatRate, formatSize, type InstanceLimits, type LimitEffect } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { type LimitFlags, limitOptions, parseLimits } from '../flags/limits.ts';
import { type Column, printTable } from '../render/table.ts';

const rows: Record<keyof InstanceLimits, { name: string; show(value: number): string }> = {
  diskBytesPerSecond: { name: 'disk rate', show: formatRate },
  diskRequestsPerSecond: { name: 'disk requests', show: (value) => `${value}/s` },
  networkDownload: { name: 'download', show: formatRate },
  networkUpload: { name: 'upload', show: formatRate },
  cpus: { name: 'CPUs', show: String },
  cpuWeight: { name: 'CPU weight', show: String },
  memoryBytes: { name: 'memory', show: formatSize },
};

const columns: Column<LimitEffect>[] = [
  { title: 'LIMIT', value: ({ limit }) => rows[limit].name },
  { title: 'VALUE', value: ({ limit, value }) => rows[limit].show(value), align: 'right' },
  { title: 'KEPT BY', value: ({ by }) => (by === 'none' ? 'nobody' : by) },
  {
    title: 'NOTE',
    value: ({ why, automatic }) => [automatic ? 'automatic' : '', why ?? ''].filter(Boolean).join('; '),
    shrinks: true,
  },
];

export const command = defineCommand<LimitFlags & { json?: boolean }>({
  arguments: '<name>',
  completes: ['instance'],
  options(parser) {
    limitOptions(parser).option('--json', 'print JSON');
  },
  notes: [
    'What is not named stays, and 0 lifts a limit. Disks are throttled by QEMU and published ports by the shim; CPU and memory by cgroups, ' +
      'where this host lets us make some (`viv doctor`). What a guest opens to the outside itself is not limited.',
  ],
  examples: [
    ['viv limits web --disk-rate 50MB/s --cpu-limit 0.5', 'at once, also while it runs'],
    ['viv limits web', 'which limits it has, and who keeps them'],
  ],
  async run(context, [name = ''], flags) {
    const vm = await (await context.vivarium()).get(name);
    const limits = parseLimits(flags);
    const status = limits === undefined ? await vm.limits.get() : await vm.limits.set(limits);
    if (flags.json) {
      await context.printJson(status);
      return 0;
    }
    // Of a VM that does not run nobody keeps anything yet.
    const asked = (Object.entries(status.asked) as [keyof InstanceLimits, number][]).map(
      ([limit, value]): LimitEffect => ({
        limit,
        value,
        automatic: false,
        by: 'none',
        why: 'it does not run',
      }),
    );
    const shown = status.effects.length > 0 ? status.effects : asked;
    if (shown.length === 0) await context.print('no limits\n');
    else await printTable(context, columns, shown);
    return 0;
  },
});
