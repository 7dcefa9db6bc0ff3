/** What is fixed about a state. */
export interface StateRule {
  /** `stable`: rests until somebody acts or something breaks. `transient`: an operation is passing through it. */
  readonly kind: 'stable' | 'transient';
  /** Whether a VMM process belongs to the state; `maybe` where that is exactly what isn't known. */
  readonly vmm: 'yes' | 'no' | 'maybe';
  /** One sentence for people. */
  readonly meaning: string;
}

const stable = (vmm: StateRule['vmm'], meaning: string): StateRule => ({ kind: 'stable', vmm, meaning });
const transient = (vmm: StateRule['vmm'], meaning: string): StateRule => ({
  kind: 'transient',
  vmm,
  meaning,
});

/** Every state an instance can be observed in, in the order in which it is printed. */
export const states = {
  Defined: stable('no', 'Only a record: no disk, no process.'),
  Stopped: stable('no', 'Has disks; no process.'),
  Created: stable('yes', 'The VMM is alive, the guest has not been booted.'),
  Running: stable('yes', 'The guest is up and its agent answers (or it has none).'),
  Paused: stable('yes', 'The vCPUs are frozen, the VMM is alive.'),
  Shutdown: stable('yes', 'The guest is off, the VMM is alive.'),
  Suspended: stable('no', 'No VMM; the memory is saved on disk.'),
  Deleted: stable('no', 'Nothing is left.'),
  Error: stable('maybe', 'An undo failed. Latched: only delete and a forced stop lead out.'),
  Unknown: stable('maybe', 'The VMM could not be asked. Heals itself with the next probe that answers.'),
  Cloning: transient('no', 'Its disks are being made.'),
  Starting: transient('yes', 'The VMM is being started or told to boot the guest.'),
  Initializing: transient('yes', 'The guest has booted, its agent is not ready yet.'),
  Stopping: transient('yes', 'The guest, then the VMM, is being ended.'),
  Suspending: transient('yes', 'The memory is being saved.'),
  Restoring: transient('yes', 'Saved memory is being brought back.'),
  Deleting: transient('no', 'Everything it owns is being removed.'),
} as const satisfies Record<string, StateRule>;

export type State = keyof typeof states;

/** All 17 states, in the order of {@link states}. */
export const allStates = Object.keys(states) as readonly State[];
export const stableStates: ReadonlySet<State> = new Set(allStates.filter((state) => isStable(state)));
export const transientStates: ReadonlySet<State> = new Set(allStates.filter((state) => isTransient(state)));

export function isState(text: string): text is State {
  return Object.hasOwn(states, text);
}

export function isStable(state: State): boolean {
  return states[state].kind === 'stable';
}

export function isTransient(state: State): boolean {
  return states[state].kind === 'transient';
}

/** True where a VMM process belongs to the state. False for Error and Unknown, which may have one: {@link mayHaveVmm}. */
export function hasVmm(state: State): boolean {
  return states[state].vmm === 'yes';
}

/** True unless it is certain that no VMM belongs to the state. */
export function mayHaveVmm(state: State): boolean {
  return states[state].vmm !== 'no';
}
