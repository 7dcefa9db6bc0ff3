import { setTimeout as delay } from 'node:timers/promises';
import { type InstanceStats, isVivError, type Vivarium, type Vm } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { type Context, widthOf } from '../context.ts';
import { renderTable } from '../render/table.ts';
import { type Usage, usageColumns } from '../render/usage.ts';

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
      const usages = await sample(vivarium, names, before);
      if (flags.json) await showJson(context, usages);
      else if (flags.stream || count === enough) await showTable(context, usages, flags.stream);
      if (count === enough) return 0;
      await delay(count === 1 ? firstIntervalMs : intervalMs, undefined, { signal: context.signal });
    }
  },
});

async function running(vivarium: Vivarium, names: readonly string[]): Promise<Vm[]> {
  const wanted = [...names];
  if (names.length === 0) for await (const { id } of vivarium.all({ states: ['Running'] })) wanted.push(id);
  const found = await Promise.all(
    wanted.map(async (name) => {
      try {
        return await vivarium.get(name);
      } catch (error) {
        if (isVivError(error, 'not_found')) return undefined;
        throw error;
      }
    }),
  );
  return found.filter((vm) => vm?.info.state === 'Running') as Vm[];
}

async function sample(
  vivarium: Vivarium,
  names: readonly string[],
  before: Map<string, InstanceStats>,
): Promise<Usage[]> {
  const usages = await Promise.all(
    (await running(vivarium, names)).map(async (vm) => {
      try {
        const now = await vm.stats();
        const usage: Usage = { info: vm.info, now, before: before.get(vm.id) };
        before.set(vm.id, now);
        return [usage];
      } catch (error) {
        // It stopped between the listing and the question.
        if (isVivError(error, 'not_found', 'invalid_state', 'agent_unreachable')) return [];
        throw error;
      }
    }),
  );
  return usages.flat();
}

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
