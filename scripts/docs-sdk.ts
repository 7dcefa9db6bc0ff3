/**
 * Writes docs/sdk-reference.md from the doc comments of everything that `vivarium` and `vivarium/engine` export. With `--check` it writes
 * nothing and fails where the page is not what it would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Chapter, readChapters } from './sdk-reference/read.ts';
import { writeChapters } from './sdk-reference/write.ts';

const at = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const page = at('docs/sdk-reference.md');

const head = `<!-- Written by scripts/docs-sdk.ts from the doc comments of the sources it names. -->
# SDK reference

Everything that \`vivarium\` exports, and \`vivarium/engine\` on top of it. How it is used: [sdk.md](sdk.md). Every error is a
[\`VivError\`](#viverror) with a code of [errors.md](errors.md).
`;

/** The whole page. */
export function generate(): string {
  const sdk = readChapters(at('packages/client/src/index.ts'));
  // Drivers and parts are for those who write one; they read the sources.
  const engine: Chapter[] = readChapters(at('packages/engine/src/open.ts'));
  return `${head}\n${writeChapters([...sdk, ...engine])}`;
}

if (import.meta.main) {
  const after = generate();
  if (!process.argv.includes('--check')) writeFileSync(page, after);
  else if (readFileSync(page, 'utf8') !== after) {
    console.error('docs/sdk-reference.md is not what the sources say. Run: node scripts/docs-sdk.ts');
    process.exitCode = 1;
  }
}
