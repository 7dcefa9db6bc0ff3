import path from 'node:path';
import { type Check, passes } from './step.ts';

/* What needs no VM and no test: types, lint, format and layer rules, generated documents, one version everywhere. */

const root = path.resolve(import.meta.dirname, '..');
const bin = (name: string): string => path.join(root, 'node_modules/.bin', name);
const own = (script: string, ...args: string[]): string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  path.join(root, 'scripts', script),
  ...args,
];

const checks: Check[] = [
  { title: 'Types', argv: [bin('tsc'), '--noEmit', '--project', root] },
  {
    title: 'Lint, format and layer rules',
    argv: [bin('biome'), 'ci', '--error-on-warnings', '--colors=off', root],
  },
  { title: 'One version everywhere', argv: own('versions.ts') },
  { title: 'No file too long', argv: own('lengths.ts') },
];
for (const document of ['lifecycle', 'errors', 'cli', 'config', 'scopes', 'sdk']) {
  checks.push({ title: `docs of ${document} are as generated`, argv: own(`docs-${document}.ts`, '--check') });
}
checks.push({
  title: 'The decoder survives noise',
  argv: own('../packages/protocol/fuzz/decoder.ts', '5'),
});

let failed = 0;
for (const check of checks) {
  if (!(await passes({ ...check, cwd: root }))) failed += 1;
}
process.stdout.write(`${checks.length - failed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;
