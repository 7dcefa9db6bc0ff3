import { formatSize, type SessionInfo } from '@vivarium/model';
import type { Column } from './table.ts';

function stateText({ running, exit, orphaned }: SessionInfo): string {
  const state = running ? 'running' : `exited ${exit?.signal ?? exit?.code ?? ''}`.trim();
  return orphaned ? `${state}, orphaned` : state;
}

/** The columns of `session ls`. */
export function sessionColumns(): Column<SessionInfo>[] {
  return [
    { title: 'SESSION', value: ({ id }) => id },
    { title: 'STATE', value: stateText },
    { title: 'PID', value: ({ pid }) => String(pid), align: 'right' },
    { title: 'OUTPUT', value: ({ stdout, stderr }) => formatSize(stdout.to + stderr.to), align: 'right' },
    { title: 'COMMAND', value: ({ argv }) => argv.join(' '), shrinks: true },
  ];
}
