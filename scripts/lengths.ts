import { globSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

/* No file is longer than somebody reads in one go. The linter has the same for functions. */

/** Lines. */
const most = 400;

const root = path.resolve(import.meta.dirname, '..');
const files = globSync(['{packages,e2e,bench,examples,scripts}/**/*.ts', 'native/*/{src,tests}/**/*.rs'], {
  cwd: root,
  exclude: (name) => name.endsWith('node_modules') || name.endsWith('dist'),
});

const long: string[] = [];
for (const file of files) {
  const text = await readFile(path.join(root, file), 'utf8');
  const lines = text.split('\n').length - 1;
  if (lines > most) long.push(`${file}: ${lines} lines`);
}
for (const line of long) process.stdout.write(`${line}, and ${most} are the most: split it\n`);
process.exitCode = files.length > 0 && long.length === 0 ? 0 : 1;
