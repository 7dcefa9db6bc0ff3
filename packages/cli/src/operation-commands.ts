import type { CommandEntry } from './commands.ts';

/** The part of the command table that is about operations. */
export const operationCommands: readonly CommandEntry[] = [
  {
    name: 'operation ls',
    summary: 'List what is being done, and what was',
    group: 'Look',
    aliases: ['operation list'],
    load: () => import('./commands/operation/ls.ts'),
  },
  {
    name: 'operation inspect',
    summary: 'Show everything about operations',
    group: 'Look',
    load: () => import('./commands/operation/inspect.ts'),
  },
  {
    name: 'operation wait',
    summary: 'Wait until operations have ended',
    group: 'Look',
    load: () => import('./commands/operation/wait.ts'),
  },
  {
    name: 'operation cancel',
    summary: 'Cancel operations and have their steps taken back',
    group: 'Look',
    load: () => import('./commands/operation/cancel.ts'),
  },
];
