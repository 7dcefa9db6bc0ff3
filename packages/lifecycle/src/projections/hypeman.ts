import type { Projection } from './projection.ts';

export type HypemanState =
  | 'Created'
  | 'Initializing'
  | 'Running'
  | 'Paused'
  | 'Shutdown'
  | 'Stopped'
  | 'Standby'
  | 'Unknown'
  | 'gone';

/** kernel/hypeman's instances. `gone` is no state of its own: it answers 404. Transients show where the VMM is. */
export const hypeman: Projection<HypemanState> = {
  system: 'hypeman',
  vocabulary: [
    'Created',
    'Initializing',
    'Running',
    'Paused',
    'Shutdown',
    'Stopped',
    'Standby',
    'Unknown',
    'gone',
  ],
  words: {
    Defined: 'Stopped',
    Stopped: 'Stopped',
    Created: 'Created',
    Running: 'Running',
    Paused: 'Paused',
    Shutdown: 'Shutdown',
    Suspended: 'Standby',
    Deleted: 'gone',
    Error: 'Unknown',
    Unknown: 'Unknown',
    Cloning: 'Stopped',
    Starting: 'Initializing',
    Initializing: 'Initializing',
    Stopping: 'Running',
    Suspending: 'Paused',
    Restoring: 'Standby',
    Deleting: 'Stopped',
  },
  refusesUnchanged: {},
  terminal: [],
  remarks: [
    'Error shows as Unknown with state_error.',
    'A stop shows Running and a restore Standby until they are over; a start shows Initializing, so that it can be stopped.',
  ],
};
