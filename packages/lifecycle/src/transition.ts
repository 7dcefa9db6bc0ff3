import { type Action, allActions, type Observation } from './actions.ts';
import type { State } from './states.ts';
import { type ActionRow, type Row, table } from './table.ts';

/** What decides where a row with several outcomes leads. All of it is optional. */
export interface Context {
  /** The caller forces the action. */
  force?: boolean;
  /** The state the action under way began in. */
  before?: State;
  /** What the saved memory was. Default Running. */
  saved?: 'Running' | 'Paused';
  /** The action under way. */
  action?: Action;
  /** What the probe saw; an observation `probed` needs it. */
  observed?: State;
}

/** What becomes of a state. */
export interface Transition {
  /** False: legal, and nothing happens; `to` is the state itself. */
  readonly changed: boolean;
  /** Transient states on the way, in order; empty for observations and for actions that take effect at once. */
  readonly through: readonly State[];
  /** Where success ends. */
  readonly to: State;
  /** The row of the table that says so. */
  readonly row: Row;
}

const rows = new Map<string, Row>(table.map((row) => [`${row.from} ${row.on}`, row]));

/** The row for a pair, whether or not it needs force; undefined where the pair is illegal. */
export function rowFor(state: State, on: Action): ActionRow | undefined;
export function rowFor(state: State, on: Action | Observation): Row | undefined;
export function rowFor(state: State, on: Action | Observation): Row | undefined {
  return rows.get(`${state} ${on}`);
}

/** Whether an action may begin in a state. True also where it changes nothing. */
export function allowed(state: State, action: Action, options: { force?: boolean } = {}): boolean {
  return transition(state, action, options) !== undefined;
}

/**
 * Where an action or an observation leads; undefined where it is illegal, which leaves the state as it is.
 *
 * For an action the caller shows `through[0]` while it works (or stays in the state when there is none) and `to` at the
 * end. An outcome that depends on the {@link Context} is the row's first one when the context doesn't say, except for
 * `probed`, which is nothing without `observed`.
 */
export function transition(
  state: State,
  on: Action | Observation,
  context: Context = {},
): Transition | undefined {
  const row = rowFor(state, on);
  if (row === undefined) return undefined;
  if (row.kind === 'action' && row.force === 'required' && context.force !== true) return undefined;
  const to = outcome(row, context);
  return to === undefined ? undefined : { changed: row.changed, through: row.through, to, row };
}

function outcome(row: Row, context: Context): State | undefined {
  const wanted = decided(row, context);
  if (wanted !== undefined) return row.to.includes(wanted) ? wanted : undefined;
  return row.decidedBy === 'probe' ? undefined : row.to[0];
}

function decided(row: Row, context: Context): State | undefined {
  switch (row.decidedBy) {
    case 'before':
      return context.before;
    case 'saved':
      return context.saved;
    case 'probe':
      return context.observed;
    case 'action':
      return context.action === 'delete' ? 'Deleting' : undefined;
    case undefined:
      return undefined;
  }
}

/** Whether one step of the table leads from a state to another: the beginning of an action, or an observation. */
export function isStep(from: State, to: State): boolean {
  return table.some((row) => row.from === from && row.changed && stepsOf(row).includes(to));
}

/** Where a row leads at once: an action into its first transient state, the rest of its way is observed. */
export function stepsOf(row: Row): readonly State[] {
  const first = row.through.find((state) => state !== row.from);
  return first === undefined ? row.to : [first];
}

/** The actions that may begin in a state; with `force` also those that need it. */
export function validActions(state: State, options: { force?: boolean } = {}): Action[] {
  return allActions.filter((action) => allowed(state, action, options));
}

/** Why an action is refused, for people, with what is possible instead; undefined where it is allowed. */
export function refusal(state: State, action: Action, options: { force?: boolean } = {}): string | undefined {
  if (allowed(state, action, options)) return undefined;
  if (allowed(state, action, { force: true })) return `${action} needs force while the state is ${state}`;
  const possible = validActions(state);
  const instead =
    possible.length === 0 ? 'nothing but waiting is possible' : `possible: ${possible.join(', ')}`;
  return `${action} is not possible while the state is ${state} (${instead})`;
}
