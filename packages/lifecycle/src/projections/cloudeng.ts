import type { Action } from '../actions.ts';
import type { Projection } from './projection.ts';

/** The states of cloudeng.io/vms. */
export type CloudengState =
  | 'Initial'
  | 'Cloning'
  | 'Starting'
  | 'Running'
  | 'Stopping'
  | 'Stopped'
  | 'Suspending'
  | 'Suspended'
  | 'Deleting'
  | 'Deleted'
  | 'ErrorUnknown';

/** Its actions. None is what a transient state allows: waiting. */
export type CloudengAction = 'None' | 'Clone' | 'Start' | 'Stop' | 'Suspend' | 'Delete';

export const cloudengStates: readonly CloudengState[] = [
  ...(['Initial', 'Cloning', 'Starting', 'Running', 'Stopping', 'Stopped'] as const),
  ...(['Suspending', 'Suspended', 'Deleting', 'Deleted', 'ErrorUnknown'] as const),
];

export const cloudengActions: readonly CloudengAction[] = [
  'None',
  'Clone',
  'Start',
  'Stop',
  'Suspend',
  'Delete',
];

/** cloudeng.io/vms in our states. */
export const cloudeng: Projection<CloudengState> = {
  system: 'cloudeng',
  vocabulary: cloudengStates,
  words: {
    Defined: 'Initial',
    Stopped: 'Stopped',
    Created: 'Starting',
    Running: 'Running',
    Paused: 'Running',
    Shutdown: 'Stopped',
    Suspended: 'Suspended',
    Deleted: 'Deleted',
    Error: 'ErrorUnknown',
    Unknown: 'ErrorUnknown',
    Cloning: 'Cloning',
    Starting: 'Starting',
    Initializing: 'Starting',
    Stopping: 'Stopping',
    Suspending: 'Suspending',
    Restoring: 'Starting',
    Deleting: 'Deleting',
  },
  refusesUnchanged: {},
  terminal: [],
  remarks: ['Restoring shows as Starting.', 'A prepared VM (Created) shows as Starting.'],
};

/** Our action for each of its. */
export const cloudengToUnified: Readonly<Record<Exclude<CloudengAction, 'None'>, Action>> = {
  Clone: 'clone',
  Start: 'start',
  Stop: 'stop',
  Suspend: 'suspend',
  Delete: 'delete',
};

const waiting = (state: CloudengState) => ({ None: state });

/** Its own table: the state right after each action that is legal. A state that stays is an action without effect. */
export const cloudengTable: Readonly<Record<CloudengState, Partial<Record<CloudengAction, CloudengState>>>> =
  {
    Initial: { Clone: 'Cloning', Delete: 'Deleting' },
    Running: { Stop: 'Stopping', Suspend: 'Suspending' },
    Stopped: { Start: 'Starting', Stop: 'Stopped', Delete: 'Deleting' },
    Suspended: { Start: 'Starting', Suspend: 'Suspended', Delete: 'Deleting' },
    Deleted: { Clone: 'Cloning' },
    ErrorUnknown: { Delete: 'Deleting' },
    Cloning: waiting('Cloning'),
    Starting: waiting('Starting'),
    Stopping: waiting('Stopping'),
    Suspending: waiting('Suspending'),
    Deleting: waiting('Deleting'),
  };

/** Whether an action is legal in a state. */
export function cloudengAllowed(state: CloudengState, action: CloudengAction): boolean {
  return cloudengTable[state][action] !== undefined;
}

/** The state after an action; an illegal one leaves it as it was. */
export function cloudengTransition(state: CloudengState, action: CloudengAction): CloudengState {
  return cloudengTable[state][action] ?? state;
}

export function cloudengValidActions(state: CloudengState): CloudengAction[] {
  return cloudengActions.filter((action) => cloudengAllowed(state, action));
}

/** Its table as text, one line per state. */
export function cloudengPrintStates(): string {
  const width = Math.max(...cloudengStates.map((state) => state.length));
  return cloudengStates
    .map((state) => {
      const steps = cloudengValidActions(state).map(
        (action) => `${action} -> ${cloudengTransition(state, action)}`,
      );
      return `${state.padEnd(width)}  ${steps.join(', ')}`;
    })
    .join('\n');
}
