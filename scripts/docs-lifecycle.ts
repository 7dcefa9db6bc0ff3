/**
 * Writes the generated parts of docs/lifecycle.md: what lies between `<!-- begin NAME -->` and `<!-- end NAME -->`.
 * With `--check` it writes nothing and fails where the page is not what it would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  allStates,
  mermaid,
  type Projection,
  printActions,
  printObservations,
  printOperations,
  printStateList,
  projections,
} from '@vivarium/lifecycle';

export const page = fileURLToPath(new URL('../docs/lifecycle.md', import.meta.url));

const fenced = (language: string, text: string) => `\`\`\`${language}\n${text}\n\`\`\``;

function projectionTable(): string {
  const all: readonly Projection<string>[] = Object.values(projections);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(['Vivarium', ...all.map((one) => one.system)]),
    line(['---', ...all.map(() => '---')]),
    ...allStates.map((state) => line([state, ...all.map((one) => one.words[state])])),
    '',
    ...all.flatMap((one) => one.remarks.map((remark) => `- ${one.system}: ${remark}`)),
  ].join('\n');
}

const parts: Readonly<Record<string, () => string>> = {
  diagram: () => fenced('mermaid', mermaid()),
  states: () => fenced('text', printStateList()),
  actions: () => fenced('text', printActions()),
  observations: () => fenced('text', printObservations()),
  operations: () => fenced('text', printOperations()),
  projections: projectionTable,
};

/** The page with its generated parts as they should be. @throws Error where a marker is missing. */
export function generate(text: string): string {
  let result = text;
  for (const [name, write] of Object.entries(parts)) {
    const begin = `<!-- begin ${name} -->`;
    const end = `<!-- end ${name} -->`;
    const from = result.indexOf(begin);
    const to = result.indexOf(end);
    if (from < 0 || to < from) throw new Error(`docs/lifecycle.md has no "${begin}" … "${end}"`);
    result = `${result.slice(0, from + begin.length)}\n${write()}\n${result.slice(to)}`;
  }
  return result;
}

if (import.meta.main) {
  const before = readFileSync(page, 'utf8');
  const after = generate(before);
  if (process.argv.includes('--check')) {
    if (before !== after) {
      console.error('docs/lifecycle.md is not what the table says. Run: node scripts/docs-lifecycle.ts');
      process.exitCode = 1;
    }
  } else if (before !== after) {
    writeFileSync(page, after);
  }
}
