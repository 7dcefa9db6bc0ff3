import type { Projection } from './projection.ts';

export type PodplaneState = 'absent' | 'exists' | 'running' | 'query error';

/** podplane's local cluster VMs: a machine exists or not, and its process runs or not. */
export const podplane: Projection<PodplaneState> = {
  system: 'podplane',
  vocabulary: ['absent', 'exists', 'running', 'query error'],
  words: {
    Defined: 'absent',
    Stopped: 'exists',
    Created: 'exists',
    Running: 'running',
    Paused: 'running',
    Shutdown: 'exists',
    Suspended: 'exists',
    Deleted: 'absent',
    Error: 'query error',
    Unknown: 'query error',
    Cloning: 'absent',
    Starting: 'running',
    Initializing: 'running',
    Stopping: 'running',
    Suspending: 'running',
    Restoring: 'running',
    Deleting: 'exists',
  },
  refusesUnchanged: { start: 'already running', stop: 'not running' },
  terminal: [],
  remarks: ['It has no transients: while a process may be there, it is running.'],
};
