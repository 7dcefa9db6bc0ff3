import type { Action, Observation } from './actions.ts';
import type { State } from './states.ts';

/** What picks one of several outcomes: see {@link ActionRow.decidedBy}. */
export type Decider =
  /** The state the action under way began in. */
  | 'before'
  /** What the saved memory was: Running or Paused. */
  | 'saved'
  /** The action under way: a delete goes on to Deleting. */
  | 'action'
  /** What the probe saw. */
  | 'probe';

/** One line of the table for something that is asked for. */
export interface ActionRow {
  readonly kind: 'action';
  readonly from: State;
  readonly on: Action;
  /** `required`: refused unless the caller forces it. */
  readonly force?: 'required';
  /** Transient states, in order. Those after the first may be skipped: a guest without an agent has no Initializing. */
  readonly through: readonly State[];
  /** Where success ends; the first one unless {@link decidedBy} says otherwise. */
  readonly to: readonly State[];
  readonly decidedBy?: Decider;
  /** False: legal, and nothing happens. Front doors may refuse it, see `refuseUnchanged`. */
  readonly changed: boolean;
  /**
   * Where a failure ends once it is taken back *and* that was verified; empty where nothing can be taken back. Without
   * verification it is Error, always. `Running or Paused` and the like mean: as it was before.
   */
  readonly onFailure: readonly State[];
  readonly note?: string;
}

/** One line of the table for something that is observed. */
export interface ObservationRow {
  readonly kind: 'observation';
  readonly from: State;
  readonly on: Observation;
  readonly through: readonly [];
  readonly to: readonly State[];
  readonly decidedBy?: Decider;
  readonly changed: boolean;
  readonly note?: string;
}

export type Row = ActionRow | ObservationRow;

type Shape<R extends Row> = Partial<Omit<R, 'kind' | 'from' | 'on'>>;

/** One action from several states. By default a failure ends in the state it came from. */
function act(
  from: State | State[],
  on: Action,
  to: State | State[],
  more: Shape<ActionRow> = {},
): ActionRow[] {
  return [from].flat().map((state) => ({
    kind: 'action',
    from: state,
    on,
    through: [],
    to: [to].flat(),
    changed: true,
    onFailure: [state],
    ...more,
  }));
}

/** One observation from several states. */
function see(
  from: State | State[],
  on: Observation,
  to: State | State[],
  more: Shape<ObservationRow> = {},
): ObservationRow[] {
  return [from].flat().map((state) => ({
    kind: 'observation',
    from: state,
    on,
    through: [],
    to: [to].flat(),
    changed: true,
    ...more,
  }));
}

/** Legal, and nothing happens. */
const idle = { changed: false, onFailure: [] } as const;
const boot = { through: ['Starting', 'Initializing'] } as const satisfies Shape<ActionRow>;
const stopping = { through: ['Stopping'] } as const satisfies Shape<ActionRow>;
/** Files that are half removed can't be brought back. */
const removal = { through: ['Deleting'], onFailure: [] } as const satisfies Shape<ActionRow>;

const actionRows: ActionRow[] = [
  ...act('Defined', 'clone', 'Stopped', { through: ['Cloning'] }),
  ...act('Defined', 'delete', 'Deleted', { note: 'only a record goes' }),
  ...act('Stopped', 'prepare', 'Created', { through: ['Starting'] }),
  ...act('Stopped', 'start', 'Running', boot),
  ...act('Stopped', 'stop', 'Stopped', idle),
  ...act('Stopped', 'delete', 'Deleted', removal),
  ...act('Created', 'start', 'Running', boot),
  ...act('Created', 'stop', 'Stopped', stopping),
  ...act(['Starting', 'Initializing'], 'stop', 'Stopped', {
    ...stopping,
    onFailure: [],
    note: 'interrupts the start',
  }),
  ...act('Running', 'start', 'Running', idle),
  ...act('Running', 'pause', 'Paused'),
  ...act('Running', 'suspend', 'Suspended', { through: ['Suspending'] }),
  ...act('Running', 'stop', 'Stopped', stopping),
  ...act('Running', 'shutdown', 'Shutdown'),
  ...act('Paused', 'resume', 'Running'),
  ...act('Paused', 'suspend', 'Suspended', { through: ['Suspending'] }),
  ...act('Paused', 'shutdown', 'Shutdown', { note: 'resumes first' }),
  ...act('Paused', 'stop', 'Stopped', { ...stopping, note: 'resumes first' }),
  ...act('Shutdown', 'start', 'Running', boot),
  ...act('Shutdown', 'stop', 'Stopped', stopping),
  ...act('Suspended', 'start', ['Running', 'Paused'], { through: ['Restoring'], decidedBy: 'saved' }),
  ...act('Suspended', 'suspend', 'Suspended', idle),
  ...act('Suspended', 'discard', 'Stopped'),
  ...act('Suspended', 'delete', 'Deleted', removal),
  ...act('Restoring', 'stop', 'Suspended', {
    onFailure: [],
    note: 'the saved memory is untouched',
  }),
  ...act(
    [
      'Created',
      'Starting',
      'Initializing',
      'Running',
      'Paused',
      'Shutdown',
      'Suspending',
      'Restoring',
      'Stopping',
    ],
    'delete',
    'Deleted',
    { force: 'required', through: ['Stopping', 'Deleting'], onFailure: [] },
  ),
  ...act('Error', 'stop', 'Stopped', { ...stopping, force: 'required', onFailure: [] }),
  ...act('Error', 'delete', 'Deleted', { ...removal, note: 'ends what may still run' }),
  ...act('Unknown', 'delete', 'Deleted', { ...removal, force: 'required', note: 'ends what may still run' }),
  ...act('Deleted', 'clone', 'Stopped', {
    through: ['Cloning'],
    onFailure: ['Defined'],
    note: 'as a new generation',
  }),
];

const observationRows: ObservationRow[] = [
  ...see('Cloning', 'cloned', 'Stopped'),
  ...see('Cloning', 'undone', 'Defined'),
  ...see('Starting', 'prepared', 'Created'),
  ...see('Starting', 'booted', 'Initializing'),
  ...see(['Starting', 'Initializing'], 'ready', 'Running'),
  ...see(['Starting', 'Initializing'], 'undone', ['Stopped', 'Created', 'Shutdown'], { decidedBy: 'before' }),
  ...see('Suspending', 'saved', 'Suspended'),
  ...see('Suspending', 'undone', ['Running', 'Paused'], { decidedBy: 'before' }),
  ...see('Restoring', 'ready', ['Running', 'Paused'], { decidedBy: 'saved' }),
  ...see('Restoring', 'undone', 'Suspended', { note: 'the saved memory is untouched' }),
  ...see('Stopping', 'gone', ['Stopped', 'Deleting'], { decidedBy: 'action' }),
  ...see('Stopping', 'undone', ['Running', 'Paused', 'Created', 'Shutdown'], {
    decidedBy: 'before',
    note: 'given up before anything was forced',
  }),
  ...see('Deleting', 'gone', 'Deleted'),
  ...see('Running', 'guestOff', 'Shutdown'),
  ...see(
    ['Created', 'Starting', 'Initializing', 'Running', 'Paused', 'Shutdown', 'Suspending', 'Unknown'],
    'exited',
    'Stopped',
    { note: 'with the exit record' },
  ),
  ...see('Stopping', 'exited', ['Stopped', 'Deleting'], {
    decidedBy: 'action',
    note: 'with the exit record',
  }),
  ...see('Restoring', 'exited', 'Suspended', { note: 'the saved memory is untouched' }),
  ...see(['Error', 'Deleting'], 'exited', [], { changed: false }).map((row) => ({ ...row, to: [row.from] })),
  ...see(
    [
      ...(['Stopped', 'Created', 'Running', 'Paused', 'Shutdown', 'Suspended'] as const),
      ...([
        'Cloning',
        'Starting',
        'Initializing',
        'Stopping',
        'Suspending',
        'Restoring',
        'Deleting',
      ] as const),
    ],
    'failed',
    'Error',
    { note: 'with the evidence' },
  ),
  ...see(
    [
      'Created',
      'Starting',
      'Initializing',
      'Running',
      'Paused',
      'Shutdown',
      'Stopping',
      'Suspending',
      'Restoring',
    ],
    'probeFailed',
    'Unknown',
  ),
  ...see('Unknown', 'probeFailed', 'Unknown', { changed: false }),
  ...see(
    'Unknown',
    'probed',
    ['Running', 'Initializing', 'Created', 'Paused', 'Shutdown', 'Stopped', 'Suspended'],
    {
      decidedBy: 'probe',
    },
  ),
];

/** The one table: every legal (state, action) and (state, observation), and nothing else. */
export const table: readonly Row[] = [...actionRows, ...observationRows];
