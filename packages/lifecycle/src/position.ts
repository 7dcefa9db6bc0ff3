import { type Action, isAction, type Observation } from './actions.ts';
import { isTransient, type State } from './states.ts';
import { transition } from './transition.ts';

/** Where an instance is, with what has to be remembered of the way there. */
export interface Position {
  readonly state: State;
  /** The action that is passing through a transient state. */
  readonly action?: Action;
  /** The stable state that action began in. */
  readonly before?: State;
  /** What saved memory will be once restored. */
  readonly saved?: 'Running' | 'Paused';
}

/** Something asked for, or something observed. */
export type Step =
  | { readonly action: Action; readonly force?: boolean }
  | { readonly observation: Observation; readonly observed?: State };

/**
 * One step along the table: an action goes into its first transient state (or straight to its end when it has none), an
 * observation goes on from there. Undefined where the step is illegal: the position stays as it is.
 */
export function advance(position: Position, step: Step): Position | undefined {
  const on = 'action' in step ? step.action : step.observation;
  const next = transition(position.state, on, { ...position, ...step, action: position.action });
  if (next === undefined) return undefined;
  if (!next.changed) return position;
  const first = next.through[0];
  return settle(position, first ?? next.to, isAction(on) ? on : undefined);
}

function settle(from: Position, state: State, begun: Action | undefined): Position {
  const saved = savedBy(from, state);
  const kept = saved === undefined ? { state } : { state, saved };
  if (!isTransient(state)) return kept;
  return {
    ...kept,
    action: begun ?? from.action,
    before: isTransient(from.state) ? from.before : from.state,
  };
}

function savedBy(from: Position, state: State): Position['saved'] {
  if (state === 'Suspended' && from.state === 'Suspending')
    return from.before === 'Paused' ? 'Paused' : 'Running';
  return state === 'Suspended' || state === 'Restoring' || state === 'Unknown' ? from.saved : undefined;
}
