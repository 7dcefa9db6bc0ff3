import type { OperationReport } from '@vivarium/model';
import type { Column } from './table.ts';
import { ageOf } from './time.ts';

const colours = {
  pending: 'yellow',
  running: 'yellow',
  done: 'green',
  undone: 'red',
  failed: 'red',
  cancelled: 'cyan',
} as const;

/** How long it took, or takes. */
function duration({ startedAt, endedAt }: OperationReport, now: number): string {
  const milliseconds = (endedAt === undefined ? now : Date.parse(endedAt)) - Date.parse(startedAt);
  return milliseconds < 1000 ? `${Math.max(0, milliseconds)}ms` : `${(milliseconds / 1000).toFixed(1)}s`;
}

/** The columns of `operation ls`. */
export function operationColumns(now = Date.now()): Column<OperationReport>[] {
  return [
    { title: 'ID', value: ({ id }) => id },
    { title: 'ACTION', value: ({ action }) => action },
    { title: 'ON', value: ({ resource }) => resource?.name || resource?.id || '-', shrinks: true },
    { title: 'STATE', value: ({ state }) => state, colour: ({ state }) => colours[state] },
    { title: 'TOOK', value: (report) => duration(report, now), align: 'right' },
    { title: 'BEGUN', value: ({ startedAt }) => `${ageOf(startedAt, now)} ago` },
    { title: 'PART OF', value: ({ parent }) => parent?.slice(0, 8) ?? '-' },
    { title: 'DETAIL', value: ({ error, step }) => error?.message ?? step ?? '', shrinks: true },
  ];
}

/** What became of it, as a line. */
export function endLine({ id, action, resource, state }: OperationReport): string {
  return `${[id, action, resource?.name, state].filter(Boolean).join('  ')}\n`;
}
