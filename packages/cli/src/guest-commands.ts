import type { CommandEntry } from './commands.ts';

/** The part of the command table that is about the inside of a VM: its files, its commands, its ports. */
export const guestCommands: readonly CommandEntry[] = [
  {
    name: 'forward',
    summary: 'Listen here for ports of a VM, none of them published',
    group: 'Work inside',
    load: () => import('./commands/forward.ts'),
  },
  {
    name: 'session ls',
    summary: 'List the commands in a VM',
    group: 'Work inside',
    aliases: ['session list'],
    load: () => import('./commands/session/ls.ts'),
  },
  {
    name: 'session attach',
    summary: 'Join a command again',
    group: 'Work inside',
    load: () => import('./commands/session/attach.ts'),
  },
  {
    name: 'session logs',
    summary: 'Print what a command has printed',
    group: 'Work inside',
    load: () => import('./commands/session/logs.ts'),
  },
  {
    name: 'session kill',
    summary: 'Kill commands, or send them a signal',
    group: 'Work inside',
    load: () => import('./commands/session/kill.ts'),
  },
  {
    name: 'fs ls',
    summary: 'List a directory in a VM',
    group: 'Work inside',
    aliases: ['fs list'],
    load: () => import('./commands/fs/ls.ts'),
  },
  {
    name: 'fs cat',
    summary: 'Print files of a VM, or parts of them',
    group: 'Work inside',
    load: () => import('./commands/fs/cat.ts'),
  },
  {
    name: 'fs mkdir',
    summary: 'Make directories in a VM',
    group: 'Work inside',
    load: () => import('./commands/fs/mkdir.ts'),
  },
  {
    name: 'fs mv',
    summary: 'Rename a file or directory in a VM',
    group: 'Work inside',
    load: () => import('./commands/fs/mv.ts'),
  },
  {
    name: 'fs rm',
    summary: 'Remove files and directories in a VM',
    group: 'Work inside',
    load: () => import('./commands/fs/rm.ts'),
  },
  {
    name: 'fs watch',
    summary: 'Tell of changes to files in a VM',
    group: 'Work inside',
    load: () => import('./commands/fs/watch.ts'),
  },
];
