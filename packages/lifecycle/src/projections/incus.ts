import type { State } from '../states.ts';
import type { Projection } from './projection.ts';

export type IncusStatus = 'Running' | 'Stopped' | 'Frozen' | 'Error' | 'Ready' | 'gone';

/** lxc/incus instances. `gone` is no status of its own: it answers 404. Running is Ready once the guest said so. */
export const incus: Projection<IncusStatus> = {
  system: 'Incus',
  vocabulary: ['Running', 'Stopped', 'Frozen', 'Error', 'Ready', 'gone'],
  words: {
    Defined: 'Stopped',
    Stopped: 'Stopped',
    Created: 'Running',
    Running: 'Running',
    Paused: 'Frozen',
    Shutdown: 'Stopped',
    Suspended: 'Stopped',
    Deleted: 'gone',
    Error: 'Error',
    Unknown: 'Error',
    Cloning: 'Stopped',
    Starting: 'Stopped',
    Initializing: 'Running',
    Stopping: 'Running',
    Suspending: 'Running',
    Restoring: 'Stopped',
    Deleting: 'Stopped',
  },
  refusesUnchanged: {
    start: 'The instance is already running',
    stop: 'The instance is already stopped',
  },
  terminal: [],
  remarks: [
    'A start shows Stopped until the guest has booted, a stop shows Running until it is over.',
    'Suspended is Stopped with stateful set; so is Restoring.',
    'Frozen counts as running.',
  ],
};

/** Its numbers. */
export const incusCodes: Readonly<Record<Exclude<IncusStatus, 'gone'>, number>> = {
  Stopped: 102,
  Running: 103,
  Frozen: 110,
  Error: 112,
  Ready: 113,
};

/** Status, number and `stateful` as its door shows them; undefined where the instance is gone. */
export function incusStatus(
  state: State,
  options: { ready?: boolean } = {},
): { status: IncusStatus; code: number; stateful: boolean } | undefined {
  const word = incus.words[state];
  const status = word === 'Running' && state === 'Running' && options.ready === true ? 'Ready' : word;
  if (status === 'gone') return undefined;
  return { status, code: incusCodes[status], stateful: state === 'Suspended' || state === 'Restoring' };
}
