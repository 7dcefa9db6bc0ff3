import type { Action } from '../actions.ts';
import type { State } from '../states.ts';

/** The life cycle as another system words it. Total: every state has a word. */
export interface Projection<Word extends string> {
  readonly system: string;
  /** Every word the system has for a state, also those that none of ours needs. */
  readonly vocabulary: readonly Word[];
  readonly words: Readonly<Record<State, Word>>;
  /** Actions whose "nothing changes" that system answers with an error, and its reason: see {@link refuseUnchanged}. */
  readonly refusesUnchanged: Readonly<Partial<Record<Action, string>>>;
  /** Words that system never leaves, where ours go on; its door may latch them. */
  readonly terminal: readonly Word[];
  /** What a reader of the words has to know. */
  readonly remarks: readonly string[];
}

/** The word for a state. */
export function project<Word extends string>(projection: Projection<Word>, state: State): Word {
  return projection.words[state];
}

/** The states behind a word. */
export function statesFor<Word extends string>(projection: Projection<Word>, word: Word): State[] {
  return (Object.keys(projection.words) as State[]).filter((state) => projection.words[state] === word);
}

/** An action that was legal and changed nothing, at a door that calls that an error. */
export class NothingChangedError extends Error {
  override readonly name = 'NothingChangedError';
  readonly action: Action;
  readonly state: State;

  constructor(action: Action, state: State, reason: string) {
    super(reason);
    this.action = action;
    this.state = state;
  }
}

/**
 * Passes an action's answer on, unless the system calls "nothing changed" an error.
 *
 * @throws NothingChangedError with that system's reason.
 */
export function refuseUnchanged<Result extends { changed: boolean; state: State }>(
  projection: Pick<Projection<string>, 'refusesUnchanged'>,
  action: Action,
  result: Result,
): Result {
  const reason = projection.refusesUnchanged[action];
  if (result.changed || reason === undefined) return result;
  throw new NothingChangedError(action, result.state, reason);
}
