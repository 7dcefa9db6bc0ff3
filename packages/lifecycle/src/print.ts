import { allOperations, type Operation, operations } from './operations.ts';
import { allStates, isStable, mayHaveVmm, type State, states } from './states.ts';
import { type Row, table } from './table.ts';
import { validActions } from './transition.ts';

/** Lines of equal columns, two blanks apart; the last column isn't padded. */
function columns(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const alternatives = (list: readonly State[]) => list.join(' or ');

function result(row: Row): string {
  if (!row.changed) return 'nothing changes';
  if (row.decidedBy === 'probe') return 'what the probe saw';
  return [...row.through, alternatives(row.to)].join(' -> ');
}

function remark(row: Row): string {
  const forced = row.kind === 'action' && row.force === 'required' ? 'needs force' : '';
  const back =
    row.kind === 'action' && row.changed ? `fails: ${alternatives([...row.onFailure, 'Error'])}` : '';
  return [forced, row.note ?? '', back].filter((part) => part !== '').join('; ');
}

function rowLines(kind: Row['kind']): string[][] {
  return allStates.flatMap((state) =>
    table
      .filter((row) => row.kind === kind && row.from === state)
      .map((row, index) => [index === 0 ? state : '', row.on, result(row), remark(row)]),
  );
}

function operationLines(): string[][] {
  return allOperations.map((name) => {
    const { from, ends, holds, note }: Operation = operations[name];
    return [
      name,
      places(from),
      ends === 'same' ? 'as before' : alternatives(ends),
      holds === 'none' ? 'no' : 'yes',
      note ?? '',
    ];
  });
}

/** A set of states in the fewest words. */
function places(from: readonly State[]): string {
  if (from.length === allStates.length) return 'any';
  const sets: [string, readonly State[]][] = [
    ['any', allStates],
    ['stable', allStates.filter(isStable)],
    ['with a VMM', allStates.filter(mayHaveVmm)],
  ];
  const words = sets
    .filter(([, set]) => from.every((state) => set.includes(state)))
    .map(([name, set]) => {
      const rest = set.filter((state) => !from.includes(state));
      return rest.length === 0 ? name : `${name}, not ${rest.join(', ')}`;
    });
  return [from.join(', '), ...words].reduce((best, text) => (text.length < best.length ? text : best));
}

/** The states and what each of them means. */
export function printStateList(): string {
  const lines = allStates.map((state) => {
    const { kind, vmm, meaning } = states[state];
    return [state, kind, vmm, meaning];
  });
  return columns([['STATE', 'KIND', 'VMM', 'MEANING'], ...lines]);
}

/** What can be asked for in each state, and where it leads. */
export function printActions(): string {
  return columns([['STATE', 'ACTION', 'THROUGH AND TO', 'REMARKS'], ...rowLines('action')]);
}

/** What can be observed in each state, and where it leads. */
export function printObservations(): string {
  return columns([['STATE', 'OBSERVED', 'TO', 'REMARKS'], ...rowLines('observation')]);
}

/** The operations that add no states. */
export function printOperations(): string {
  return columns([['OPERATION', 'FROM', 'ENDS', 'HOLDS', 'REMARKS'], ...operationLines()]);
}

/** What may be done next in one state, as one line. */
export function printState(state: State): string {
  const forced = validActions(state, { force: true });
  const free = validActions(state);
  const words = forced.map((action) => (free.includes(action) ? action : `${action} (force)`));
  return `${state}: ${states[state].meaning} Possible: ${words.join(', ') || 'nothing, it passes by itself'}.`;
}

/** The whole life cycle as text: what `viv states` shows and `docs/lifecycle.md` contains. Ends without a line end. */
export function printStates(): string {
  return [printStateList(), printActions(), printObservations(), printOperations()].join('\n\n');
}
