/**
 * Writes docs/errors.md from the error table. With `--check` it writes nothing and fails where the page is not what it
 * would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { errorTable } from '@vivarium/model';

export const page = fileURLToPath(new URL('../docs/errors.md', import.meta.url));

/** The whole page. */
export function generate(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { status, exit, retryable, meaning }]) =>
      `| \`${code}\` | ${status} | ${exit} | ${retryable ? 'yes' : ''} | ${meaning.replaceAll('|', '\\|')} |`,
  );
  return `<!-- Written by scripts/docs-errors.ts from packages/model/src/errors.ts. -->
# Errors

Every error has a \`code\` out of this closed set, a \`message\` a person can act on, often a \`hint\`, and sometimes \`details\`
(evidence as plain data: console lines, the operation that holds an instance, the stage of a boot). It is the same
error through every door: a \`VivError\` in TypeScript, \`{code, message, hint, details}\` over HTTP, and two lines on stderr with
an exit status from \`viv\`.

\`\`\`text
viv: No instance is called "wbe"
hint: List them with \`viv ps -a\`.
\`\`\`

*Retryable*: the same call may succeed later without anything being changed.

Where a command ran in a guest, \`viv run\` and \`viv exec\` end with that command's own exit status instead.

| code | HTTP | exit | retryable | meaning |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

if (import.meta.main) {
  const after = generate();
  if (!process.argv.includes('--check')) writeFileSync(page, after);
  else if (readFileSync(page, 'utf8') !== after) {
    console.error('docs/errors.md is not what the table says. Run: node scripts/docs-errors.ts');
    process.exitCode = 1;
  }
}
