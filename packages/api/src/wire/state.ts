import type { State } from '@vivarium/lifecycle';

export const hypemanStates = [
  'Created',
  'Initializing',
  'Running',
  'Paused',
  'Shutdown',
  'Stopped',
  'Standby',
  'Unknown',
] as const;

export type HypemanState = (typeof hypemanStates)[number];

/** hypeman has no states for what is under way: it shows what its VMM would say at that moment. */
const projection: Readonly<Record<State, HypemanState>> = {
  Defined: 'Stopped',
  Stopped: 'Stopped',
  Created: 'Created',
  Running: 'Running',
  Paused: 'Paused',
  Shutdown: 'Shutdown',
  Suspended: 'Standby',
  Deleted: 'Stopped',
  Error: 'Unknown',
  Unknown: 'Unknown',
  Cloning: 'Stopped',
  Starting: 'Created',
  Initializing: 'Initializing',
  Stopping: 'Shutdown',
  Suspending: 'Paused',
  Restoring: 'Initializing',
  Deleting: 'Stopped',
};

export function stateToWire(state: State): HypemanState {
  return projection[state];
}

/** All states that hypeman would call so; stable ones first. */
export function statesBehind(wire: HypemanState): State[] {
  return (Object.keys(projection) as State[]).filter((state) => projection[state] === wire);
}
