import { setTimeout as delay } from 'node:timers/promises';
import type { InstanceStats } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { type Context, widthOf } from '../context.ts';
import { renderTable } from '../render/table.ts';
import { type Usage, usageColumns } from '../render/usage.ts';
import { sampleUsages } from '../usage.ts';

/** Between two pictures; and between the two samples of `--no-stream`, which a rate needs. */
const intervalMs = 1000;
const firstIntervalMs = 300;

export const command = defineCommand<{ stream: boolean; json?: boolean }>({
  arguments: '[name...]',
  completes: ['instance'],
  options(parser) {
    parser
      .option('--no-stream', 'one picture only')
      .option('--json', 'print samples as JSON, a line for each VM');
  },
  notes: [
    'Without names: every VM that runs. CPU is in percent of one vCPU; HOST MEM is what the VMM holds on this machine.',
  ],
  examples: [
    ['viv stats', 'live, until Ctrl-C'],
    ['viv stats --no-stream --json web', 'one sample for a program'],
  ],
  async run(context, names, flags) {
    const vivarium = await context.vivarium();
    const before = new Map<string, InstanceStats>();
    // A name that does not exist is an error at once; one that stops later only leaves the picture.
    for (const name of names) await vivarium.get(name);
    // JSON has counters, a table has rates: one sample is enough for the one, two are needed for the other.
    const enough = flags.stream ? Infinity : flags.json ? 1 : 2;
    for (let count = 1; ; count++) {
      const usages = await sampleUsages(vivarium, names, before);
      if (flags.json) await showJson(context, usages);
      else if (flags.stream || count === enough) await showTable(context, usages, flags.stream);
      if (count === enough) return 0;
      await delay(count === 1 ? firstIntervalMs : intervalMs, undefined, { signal: context.signal });
    }
  },
});

async function showJson(context: Context, usages: readonly Usage[]): Promise<void> {
  for (const { info, now } of usages)
    await context.printJson({ id: info.id, name: info.name, ...now }, 'line');
}

async function showTable(context: Context, usages: readonly Usage[], live: boolean): Promise<void> {
  const table = renderTable(usageColumns, usages, { width: widthOf(context.stdout), style: context.style });
  // Home, then each line over the old one: clearing first would flicker.
  const picture = table.replaceAll('\n', '\x1b[K\n');
  await context.print(live && context.stdout.isTTY ? `\x1b[H${picture}\x1b[J` : table);
}
