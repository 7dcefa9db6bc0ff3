/** What somebody can ask for and what changes the state. Operations that don't are in `operations.ts`. */
export const actions = {
  clone: 'Make its disks.',
  prepare: 'Start a VMM without booting the guest.',
  start: 'Boot the guest, or bring saved memory back.',
  stop: 'End the guest and the VMM.',
  shutdown: 'End the guest and keep the VMM.',
  pause: 'Freeze the vCPUs.',
  resume: 'Let the vCPUs run again.',
  suspend: 'Save the memory and end the VMM.',
  discard: 'Throw saved memory away.',
  delete: 'Remove everything it owns.',
} as const satisfies Record<string, string>;

export type Action = keyof typeof actions;

export const allActions = Object.keys(actions) as readonly Action[];

/** What can be observed, by an operation at the end of a step or by a watcher at any time. */
export const observations = {
  cloned: 'The disks are complete.',
  prepared: 'The VMM is alive and waits for its first run.',
  booted: 'The guest runs, its agent has not answered yet.',
  ready: 'The agent answers; without an agent: the VMM says that the guest runs.',
  saved: 'The saved memory is complete and in place.',
  gone: 'What was to be ended or removed is proven gone.',
  undone: 'The action failed or was cancelled, was taken back, and the state it came from was verified.',
  failed: 'The action failed and could not be taken back, or the state it left behind could not be verified.',
  exited: 'The VMM process has ended.',
  guestOff: 'The guest powered itself off and the VMM was told to stay.',
  probeFailed: 'The VMM could not be asked.',
  probed: 'The VMM answers again; the observed state comes with it.',
} as const satisfies Record<string, string>;

export type Observation = keyof typeof observations;

export const allObservations = Object.keys(observations) as readonly Observation[];

export function isAction(text: string): text is Action {
  return Object.hasOwn(actions, text);
}

export function isObservation(text: string): text is Observation {
  return Object.hasOwn(observations, text);
}
