import type { Projection } from './projection.ts';

export type UvmState = 'NotCreated' | 'Created' | 'Running' | 'Terminated' | 'Invalid';

/** microsoft/hcsshim's controller of utility VMs. Transients are hidden: its word stays until the new one is true. */
export const hcsshim: Projection<UvmState> = {
  system: 'hcsshim',
  vocabulary: ['NotCreated', 'Created', 'Running', 'Terminated', 'Invalid'],
  words: {
    Defined: 'NotCreated',
    Stopped: 'Terminated',
    Created: 'Created',
    Running: 'Running',
    Paused: 'Running',
    Shutdown: 'Terminated',
    Suspended: 'Created',
    Deleted: 'Terminated',
    Error: 'Invalid',
    Unknown: 'Invalid',
    Cloning: 'NotCreated',
    Starting: 'Created',
    Initializing: 'Created',
    Stopping: 'Running',
    Suspending: 'Running',
    Restoring: 'Created',
    Deleting: 'Terminated',
  },
  refusesUnchanged: {},
  terminal: ['Terminated', 'Invalid'],
  remarks: [
    'create makes disks and VMM in one step (clone, prepare).',
    'A utility VM is ephemeral: once Terminated its door never shows it otherwise.',
  ],
};
