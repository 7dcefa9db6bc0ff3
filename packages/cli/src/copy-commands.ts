import type { CommandEntry } from './commands.ts';

/** The part of the command table that is about copies: forks, snapshots, templates, pools. */
export const copyCommands: readonly CommandEntry[] = [
  {
    name: 'fork',
    summary: 'Copy a VM as it is, running processes and all',
    group: 'Copies',
    load: () => import('./commands/fork.ts'),
  },
  {
    name: 'snapshot create',
    summary: 'Keep a VM as it is now',
    group: 'Copies',
    load: () => import('./commands/snapshot/create.ts'),
  },
  {
    name: 'snapshot ls',
    summary: 'List snapshots',
    group: 'Copies',
    aliases: ['snapshot list'],
    load: () => import('./commands/snapshot/ls.ts'),
  },
  {
    name: 'snapshot inspect',
    summary: 'Show everything about snapshots',
    group: 'Copies',
    load: () => import('./commands/snapshot/inspect.ts'),
  },
  {
    name: 'snapshot tree',
    summary: 'Draw the snapshots of a VM as they grew from each other',
    group: 'Copies',
    load: () => import('./commands/snapshot/tree.ts'),
  },
  {
    name: 'snapshot restore',
    summary: 'Make a VM what a snapshot holds',
    group: 'Copies',
    load: () => import('./commands/snapshot/restore.ts'),
  },
  {
    name: 'snapshot fork',
    summary: 'Make VMs of a snapshot',
    group: 'Copies',
    load: () => import('./commands/snapshot/fork.ts'),
  },
  {
    name: 'snapshot rm',
    summary: 'Remove snapshots',
    group: 'Copies',
    aliases: ['snapshot remove'],
    load: () => import('./commands/snapshot/rm.ts'),
  },
  {
    name: 'template ls',
    summary: 'List the booted memory that starts are made from',
    group: 'Copies',
    aliases: ['template list'],
    load: () => import('./commands/template/ls.ts'),
  },
  {
    name: 'template warm',
    summary: 'Make the templates that a start would use',
    group: 'Copies',
    load: () => import('./commands/template/warm.ts'),
  },
  {
    name: 'template rm',
    summary: 'Remove templates',
    group: 'Copies',
    aliases: ['template remove'],
    load: () => import('./commands/template/rm.ts'),
  },
  {
    name: 'pool create',
    summary: 'Keep VMs ready before they are wanted',
    group: 'Copies',
    load: () => import('./commands/pool/create.ts'),
  },
  {
    name: 'pool ls',
    summary: 'List pools',
    group: 'Copies',
    aliases: ['pool list'],
    load: () => import('./commands/pool/ls.ts'),
  },
  {
    name: 'pool inspect',
    summary: 'Show everything about pools',
    group: 'Copies',
    load: () => import('./commands/pool/inspect.ts'),
  },
  {
    name: 'pool acquire',
    summary: 'Take a VM that is ready',
    group: 'Copies',
    load: () => import('./commands/pool/acquire.ts'),
  },
  {
    name: 'pool release',
    summary: 'Give VMs back, to be deleted and replaced',
    group: 'Copies',
    load: () => import('./commands/pool/release.ts'),
  },
  {
    name: 'pool events',
    summary: 'Show what happens in a pool',
    group: 'Copies',
    load: () => import('./commands/pool/events.ts'),
  },
  {
    name: 'pool rm',
    summary: 'Remove pools and their VMs',
    group: 'Copies',
    aliases: ['pool remove'],
    load: () => import('./commands/pool/rm.ts'),
  },
];
