import { allStates, isTransient, type State } from './states.ts';
import { type Row, table } from './table.ts';
import { stepsOf } from './transition.ts';

interface Edge {
  from: State;
  to: State;
  labels: string[];
}

/** Observations that fan out from or into nearly every state: said in a sentence each instead of drawn thirty times. */
const undrawn: ReadonlySet<string> = new Set(['exited', 'failed', 'undone', 'probeFailed', 'probed']);

function label(row: Row): string {
  return row.kind === 'action' && row.force === 'required' ? `${row.on} (force)` : row.on;
}

function edges(): Edge[] {
  const found = new Map<string, Edge>();
  const drawn = table.filter((row) => row.changed && !undrawn.has(row.on));
  for (const row of drawn) {
    for (const to of stepsOf(row)) {
      const key = `${row.from} ${to}`;
      const edge = found.get(key) ?? { from: row.from, to, labels: [] };
      edge.labels.push(label(row));
      found.set(key, edge);
    }
  }
  return [...found.values()];
}

/** The life cycle as a Mermaid state diagram. Failures and probes are left to the text. */
export function mermaid(): string {
  return [
    'stateDiagram-v2',
    '  direction TB',
    '  [*] --> Defined',
    ...edges().map(({ from, to, labels }) => `  ${from} --> ${to}: ${labels.join(', ')}`),
    '  Deleted --> [*]',
    '  classDef transient font-style:italic',
    `  class ${allStates.filter(isTransient).join(',')} transient`,
  ].join('\n');
}

/** The same for Graphviz: `viv states --dot | dot -Tsvg`. Transient states are dashed. */
export function graphviz(): string {
  return [
    'digraph lifecycle {',
    '  node [shape=box, style=rounded];',
    ...allStates.filter(isTransient).map((state) => `  ${state} [style="rounded,dashed"];`),
    ...edges().map(({ from, to, labels }) => `  ${from} -> ${to} [label="${labels.join('\\n')}"];`),
    '}',
  ].join('\n');
}
