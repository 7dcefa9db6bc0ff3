/**
 * Writes docs/scopes.md from the scopes and the routes. With `--check` it writes nothing and fails where the page is not
 * what it would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { routes } from '../packages/api/src/index.ts';
import { scopes } from '../packages/api/src/scopes.ts';

export const page = fileURLToPath(new URL('../docs/scopes.md', import.meta.url));

const routesOf = (scope: string): string =>
  routes
    .filter((route) => route.scope === scope)
    .map(
      ({ method, path }) =>
        `\`${method === 'WS' ? 'GET' : method} ${path}\`${method === 'WS' ? ' (WebSocket)' : ''}`,
    )
    .join('<br>');

/** The whole page. */
export function generate(): string {
  const rows = Object.entries(scopes).map(
    ([scope, meaning]) => `| \`${scope}\` | ${meaning} | ${routesOf(scope) || '–'} |`,
  );
  return `<!-- Written by scripts/docs-scopes.ts from packages/api/src/scopes.ts and the routes beside it. -->
# Scopes

What a token may do stands in its \`permissions\` claim: scopes of this table, \`instance:*\` for all of a resource, or \`*\` for
everything, also what is still to come. A token without the claim may do everything, as hypeman has it; those that \`viv token create\`
makes always have it. How tokens are made and asked for is in [http-api.md](http-api.md#who-may-call).

| scope | what it allows | routes |
|---|---|---|
${rows.join('\n')}
| none | What anybody may ask. | ${routesOf('public')} |
`;
}

if (import.meta.main) {
  const after = generate();
  if (!process.argv.includes('--check')) writeFileSync(page, after);
  else if (readFileSync(page, 'utf8') !== after) {
    console.error('docs/scopes.md is not what the routes say. Run: node scripts/docs-scopes.ts');
    process.exitCode = 1;
  }
}
