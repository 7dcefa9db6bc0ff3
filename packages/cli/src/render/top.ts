import { formatSize, VivError } from '@vivarium/model';
import type { Column } from './table.ts';
import { cpuPercent, type Usage, usageColumns } from './usage.ts';

/** What a picture can be sorted by: its key on the keyboard, its column, and the value. */
const orders = {
  cpu: { key: 'c', title: 'CPU %', value: (usage: Usage) => cpuPercent(usage) ?? -1 },
  mem: { key: 'm', title: 'MEM USED / TOTAL', value: ({ now }: Usage) => now.memory.usedBytes },
  host: { key: 'h', title: 'HOST MEM', value: ({ now }: Usage) => now.vmm?.residentBytes ?? 0 },
  disk: {
    key: 'd',
    title: 'DISK IN / OUT',
    value: ({ now }: Usage) => now.disk.readBytes + now.disk.writtenBytes,
  },
  net: {
    key: 't',
    title: 'NET IN / OUT',
    value: ({ now }: Usage) => now.network.receivedBytes + now.network.sentBytes,
  },
  procs: { key: 'p', title: 'PROCS', value: ({ now }: Usage) => now.processes },
  name: { key: 'n', title: 'NAME', value: () => 0 },
} as const;

export type TopKey = keyof typeof orders;

/** By its name, or by its key. `otherwise`: what an unknown one is; without it, an error. @throws VivError `invalid_request`. */
export function topKey(text: string): TopKey;
export function topKey(text: string, otherwise: undefined): TopKey | undefined;
export function topKey(text: string, ...otherwise: undefined[]): TopKey | undefined {
  const names = Object.keys(orders) as TopKey[];
  const found = names.find((name) => name === text || (otherwise.length > 0 && orders[name].key === text));
  if (found !== undefined || otherwise.length > 0) return found;
  throw new VivError('invalid_request', `--sort ${text}: no column of that name`, {
    hint: `Known are ${names.join(', ')}.`,
  });
}

/** Largest first; names from a to z. */
export function sortUsages(usages: readonly Usage[], by: TopKey, reverse: boolean): Usage[] {
  const { value } = orders[by];
  const sorted = usages.toSorted((a, b) => value(b) - value(a) || (a.info.name < b.info.name ? -1 : 1));
  return reverse ? sorted.reverse() : sorted;
}

/** The columns of `top`; the one that it is sorted by is marked. */
export function topColumns(by: TopKey): Column<Usage>[] {
  return usageColumns.map((column) =>
    column.title === orders[by].title ? { ...column, title: `${column.title} ▾` } : column,
  );
}

/** Everything together, as the first line. */
export function sums(usages: readonly Usage[], operations: number): string {
  const total = (value: (usage: Usage) => number) => usages.reduce((sum, usage) => sum + value(usage), 0);
  return [
    `${usages.length} running`,
    `CPU ${total((usage) => cpuPercent(usage) ?? 0).toFixed(1)} %`,
    `memory ${formatSize(total(({ now }) => now.memory.usedBytes))}`,
    `on the host ${formatSize(total(({ now }) => now.vmm?.residentBytes ?? 0))}`,
    `${operations} under way`,
  ].join(' · ');
}
