import type { CommandEntry } from './commands.ts';

/** The part of the command table that is about volumes. */
export const volumeCommands: readonly CommandEntry[] = [
  {
    name: 'volume create',
    summary: 'Make an empty volume',
    group: 'Volumes',
    load: () => import('./commands/volume/create.ts'),
  },
  {
    name: 'volume ls',
    summary: 'List volumes',
    group: 'Volumes',
    aliases: ['volume list'],
    load: () => import('./commands/volume/ls.ts'),
  },
  {
    name: 'volume inspect',
    summary: 'Show everything about volumes',
    group: 'Volumes',
    load: () => import('./commands/volume/inspect.ts'),
  },
  {
    name: 'volume attach',
    summary: 'Give a VM a volume, also while it runs',
    group: 'Volumes',
    load: () => import('./commands/volume/attach.ts'),
  },
  {
    name: 'volume detach',
    summary: 'Take a volume from a VM, also while it runs',
    group: 'Volumes',
    load: () => import('./commands/volume/detach.ts'),
  },
  {
    name: 'volume resize',
    summary: 'Grow a volume',
    group: 'Volumes',
    load: () => import('./commands/volume/resize.ts'),
  },
  {
    name: 'volume clone',
    summary: 'Make a volume that begins as another one is',
    group: 'Volumes',
    load: () => import('./commands/volume/clone.ts'),
  },
  {
    name: 'volume snapshot',
    summary: 'Keep a volume as it is now',
    group: 'Volumes',
    load: () => import('./commands/volume/snapshot.ts'),
  },
  {
    name: 'volume import',
    summary: 'Make a volume of what is in a tar.gz',
    group: 'Volumes',
    load: () => import('./commands/volume/import.ts'),
  },
  {
    name: 'volume export',
    summary: 'Write all that is in a volume as a tar.gz',
    group: 'Volumes',
    load: () => import('./commands/volume/export.ts'),
  },
  {
    name: 'volume rm',
    summary: 'Remove volumes',
    group: 'Volumes',
    aliases: ['volume remove'],
    load: () => import('./commands/volume/rm.ts'),
  },
];
