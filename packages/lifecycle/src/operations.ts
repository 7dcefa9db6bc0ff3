import { type Action, allActions } from './actions.ts';
import { allStates, mayHaveVmm, type State } from './states.ts';

/** What can be done to an instance without giving it a state of its own. */
export interface Operation {
  /** The states it may begin in. */
  readonly from: readonly State[];
  /** `same`: it ends in the state it began in; else the states it may end in. */
  readonly ends: 'same' | readonly State[];
  /**
   * `exclusive`: holds the instance; other operations get `busy`. `none`: runs beside whatever else happens, and ends with
   * the VM.
   */
  readonly holds: 'exclusive' | 'none';
  readonly note?: string;
}

const alive: readonly State[] = allStates.filter((state) => mayHaveVmm(state));
const recorded: readonly State[] = allStates.filter((state) => state !== 'Deleted');
/** Stable states in which disks exist and their owner is known. */
const atRest: readonly State[] = ['Stopped', 'Created', 'Running', 'Paused', 'Shutdown', 'Suspended'];

const exclusive = (from: readonly State[], ends: Operation['ends'], note?: string): Operation => ({
  from,
  ends,
  holds: 'exclusive',
  ...(note === undefined ? {} : { note }),
});
const beside = (from: readonly State[], note?: string): Operation => ({
  from,
  ends: 'same',
  holds: 'none',
  ...(note === undefined ? {} : { note }),
});

/** Operations that add no states, and where they may run. */
export const operations = {
  fork: exclusive(['Stopped', 'Running', 'Paused', 'Suspended'], 'same', 'a running source pauses'),
  snapshot: exclusive(['Stopped', 'Running', 'Paused', 'Suspended'], 'same', 'a running VM pauses'),
  'restore-in-place': exclusive(['Stopped', 'Suspended'], ['Stopped', 'Suspended'], 'as the snapshot was'),
  rebuild: exclusive(['Stopped'], 'same', 'the new root exists first'),
  rename: exclusive(['Defined', ...atRest], 'same', 'files keep their place'),
  resize: exclusive(atRest, 'same', 'a live guest sees it'),
  'attach-volume': exclusive(['Stopped', 'Running'], 'same', 'a live guest sees it'),
  'detach-volume': exclusive(['Stopped', 'Running'], 'same', 'unmounted first'),
  update: exclusive(['Defined', ...atRest], 'same', 'or at the next start'),
  export: exclusive(['Stopped', 'Running', 'Paused', 'Suspended'], 'same', 'a running VM pauses'),
  exec: beside(['Running']),
  attach: beside(['Running']),
  cp: beside(['Running']),
  stat: beside(['Running']),
  stats: beside(['Running']),
  connect: beside(['Running']),
  console: beside(alive),
  logs: beside(recorded),
  inspect: beside(recorded),
  wait: beside(allStates),
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;

export const allOperations = Object.keys(operations) as readonly OperationName[];

/** Whether an operation may begin in a state. */
export function operationAllowed(state: State, operation: OperationName): boolean {
  const { from }: Operation = operations[operation];
  return from.includes(state);
}

/** What a second call of the same action or operation does while the first is under way. */
export type Joining =
  /** It gets the outcome of the first, where its parameters are equal; else `busy`. */
  | 'equal'
  /** It never shares an outcome: `busy`. */
  | 'never'
  /** It holds nothing; both run. */
  | 'beside';

const joinedActions: readonly Action[] = ['start', 'stop', 'delete'];

/** How a second call of each action and operation meets the first. */
export const joining: Readonly<Record<Action | OperationName, Joining>> = Object.fromEntries([
  ...allActions.map((action) => [action, joinedActions.includes(action) ? 'equal' : 'never']),
  ...allOperations.map((name) => [name, operations[name].holds === 'none' ? 'beside' : 'never']),
]) as Record<Action | OperationName, Joining>;

/**
 * Which actions may cut which others short instead of getting `busy`. The interrupted one ends as `cancelled`; the
 * interrupting one is then judged against the state it finds. A delete interrupts only when it is forced.
 */
export const interrupts: Readonly<Partial<Record<Action, readonly Action[]>>> = {
  stop: ['prepare', 'start', 'shutdown'],
  delete: ['prepare', 'start', 'shutdown', 'stop', 'suspend'],
};

/** Whether `action` may cut `underWay` short. */
export function mayInterrupt(action: Action, underWay: Action, options: { force?: boolean } = {}): boolean {
  if (action === 'delete' && options.force !== true) return false;
  return interrupts[action]?.includes(underWay) ?? false;
}
