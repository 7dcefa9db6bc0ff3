import { setTimeout as delay } from 'node:timers/promises';
import type { InstanceStats, Vivarium } from '@vivarium/model';
import { defineCommand } from '../command.ts';
import { type Context, widthOf } from '../context.ts';
import { parseDuration } from '../flags/values.ts';
import { renderTable } from '../render/table.ts';
import { sortUsages, sums, type TopKey, topColumns, topKey } from '../render/top.ts';
import { cpuPercent, type Usage } from '../render/usage.ts';
import { sampleUsages } from '../usage.ts';

/** Between the two samples of the first picture: a rate needs both. Milliseconds. */
const firstIntervalMs = 300;

interface Flags {
  sort?: string;
  reverse?: boolean;
  interval?: string;
  once?: boolean;
  json?: boolean;
}

export const command = defineCommand<Flags>({
  arguments: '',
  options(parser) {
    parser
      .option('-s, --sort <column>', 'name, cpu, mem, host, disk, net or procs (default: cpu)')
      .option('-r, --reverse', 'the other way round')
      .option('--interval <seconds>', 'between two pictures (default: 2)')
      .option('--once', 'one picture only')
      .option('--json', 'print each picture as JSON, a line for each');
  },
  notes: [
    'On a terminal: q leaves, and c, m, h, d, t, p and n sort by CPU, memory, host memory, disk, net, processes and name; the ' +
      'same key again turns the order round. CPU is in percent of one vCPU.',
  ],
  examples: [
    ['viv top', 'live, until q or Ctrl-C'],
    ['viv top --once --sort mem', 'one picture, largest memory first'],
    ['viv top --once --json', 'for a program'],
  ],
  async run(context, _args, flags) {
    const intervalMs = flags.interval === undefined ? 2000 : parseDuration(flags.interval, '--interval');
    const order = { key: topKey(flags.sort ?? 'cpu'), reverse: flags.reverse === true };
    const vivarium = await context.vivarium();
    const before = new Map<string, InstanceStats>();
    using keys = listenToKeys(context, flags, order);
    await sampleUsages(vivarium, [], before);
    await pause(firstIntervalMs, context, keys);
    for (;;) {
      const usages = await sampleUsages(vivarium, [], before);
      if (keys.left) return 0;
      keys.seen();
      await show(context, vivarium, { usages, order, flags });
      if (flags.once) return 0;
      await pause(intervalMs, context, keys);
      if (keys.left) return 0;
    }
  },
});

interface Order {
  key: TopKey;
  reverse: boolean;
}

interface Keys extends Disposable {
  /** Somebody has pressed q. */
  readonly left: boolean;
  /** Resolved where a key was pressed since {@link Keys.seen}, or with the next one. */
  readonly pressed: Promise<void>;
  /** What was pressed so far is in the picture. */
  seen(): void;
}

/** Keys of a terminal that shows a live picture; elsewhere there are none. */
function listenToKeys(context: Context, flags: Flags, order: Order): Keys {
  const { stdin, stdout } = context;
  let left = false;
  let next = Promise.withResolvers<void>();
  const live = !flags.once && !flags.json && stdin.isTTY && stdout.isTTY && stdin.setRawMode !== undefined;
  const take = (data: Buffer) => {
    for (const key of data.toString()) {
      if (key === 'q' || key === '\x03') left = true;
      const chosen = topKey(key, undefined);
      if (chosen !== undefined) {
        order.reverse = chosen === order.key && !order.reverse;
        order.key = chosen;
      }
    }
    next.resolve();
  };
  if (live) {
    stdin.setRawMode?.(true);
    // A screen of its own: what was there before comes back.
    stdout.write('\x1b[?1049h\x1b[?25l');
    stdin.on('data', take);
  }
  return {
    get left() {
      return left;
    },
    get pressed() {
      return next.promise;
    },
    seen() {
      next = Promise.withResolvers();
    },
    [Symbol.dispose]() {
      if (!live) return;
      stdin.off('data', take);
      stdin.setRawMode?.(false);
      stdin.pause();
      stdout.write('\x1b[?25h\x1b[?1049l');
    },
  };
}

async function pause(milliseconds: number, context: Context, keys: Keys): Promise<void> {
  const over = new AbortController();
  const signal = AbortSignal.any([context.signal, over.signal]);
  try {
    await Promise.race([delay(milliseconds, undefined, { signal }), keys.pressed]);
  } finally {
    over.abort();
  }
}

async function show(
  context: Context,
  vivarium: Vivarium,
  { usages, order, flags }: { usages: readonly Usage[]; order: Order; flags: Flags },
): Promise<void> {
  const sorted = sortUsages(usages, order.key, order.reverse);
  if (flags.json) {
    const vms = sorted.map((usage) => ({
      id: usage.info.id,
      name: usage.info.name,
      cpuPercent: cpuPercent(usage) ?? null,
      ...usage.now,
    }));
    return context.printJson({ at: new Date().toISOString(), vms }, 'line');
  }
  const live = context.stdout.isTTY && !flags.once;
  const running = (await vivarium.operations.list({ states: ['running', 'pending'], limit: 100 })).items;
  const head = sums(sorted, running.length);
  const rows = live ? sorted.slice(0, Math.max(1, (context.stdout.rows ?? 24) - 4)) : sorted;
  const table = renderTable(topColumns(order.key), rows, {
    width: widthOf(context.stdout),
    style: context.style,
  });
  const picture = `${head}\n\n${table}`;
  // Home, then each line over the old one: clearing first would flicker.
  await context.print(live ? `\x1b[H${picture.replaceAll('\n', '\x1b[K\n')}\x1b[J` : picture);
}
