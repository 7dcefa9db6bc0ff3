import { openApi } from '../openapi.ts';
import { routes } from '../routes/index.ts';
import { scopes } from '../scopes.ts';
import { escaped, prose } from './html.ts';
import { operationSection } from './operation.ts';
import { schemaTree } from './schema-view.ts';
import { script } from './script.ts';
import { style } from './style.ts';

let made: { version: string; page: string } | undefined;

/** The OpenAPI document as one page of HTML that needs nothing else: no script, font or picture from anywhere. */
export function referencePage(version: string): string {
  if (made?.version !== version) made = { version, page: render(version) };
  return made.page;
}

function render(version: string): string {
  const document = openApi(version);
  const { schemas } = document.components as { schemas: Record<string, object> };
  const tags = (document.tags as { name: string }[]).map(({ name }) => name);
  const paths = document.paths as Record<string, Record<string, object>>;
  const of = (tag: string) => routes.filter((route) => route.tag === tag);
  const nav = tags
    .map(
      (tag) =>
        `<section data-group><h2>${tag}</h2>${of(tag)
          .map(
            ({ name, method, path, summary }) =>
              `<a href="#${name}" data-entry title="${escaped(summary)}"><b class="m ${method}">${method}</b>${escaped(path)}</a>`,
          )
          .join('')}</section>`,
    )
    .join('');
  const main = tags
    .map(
      (tag) =>
        `<section data-group><h2 id="tag-${tag}">${tag}</h2>${of(tag)
          .map((route) => {
            const operation = paths[route.path]?.[route.method === 'WS' ? 'get' : route.method.toLowerCase()];
            return operationSection(route, operation ?? {}, schemas);
          })
          .join('')}</section>`,
    )
    .join('');
  const scopeRows = Object.entries(scopes).map(
    ([scope, meaning]) => `<tr><td><code>${scope}</code></td><td>${prose(meaning)}</td></tr>`,
  );
  const links = Object.keys(schemas).map((name) => `<a href="#schema-${name}" data-entry>${name}</a>`);
  const shapes = Object.entries(schemas).map(
    ([name, schema]) =>
      `<article id="schema-${name}" data-entry><h3>${name}</h3>${schemaTree(schema)}</article>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Vivarium ${escaped(version)}: HTTP API</title>
<style>${style}</style>
</head>
<body>
<nav>
<header><h1>Vivarium <small>${escaped(version)}</small></h1>
<input id="search" type="search" placeholder="Search (/)" aria-label="Search routes, fields and errors" autocomplete="off">
<p id="found" aria-live="polite"></p></header>
<div id="routes">${nav}
<section data-group><h2>reference</h2><a href="#scopes" data-entry>Scopes</a></section>
<section data-group><h2>schemas</h2>${links.join('')}</section></div>
</nav>
<main>
<article><p>${prose(String((document.info as { description: string }).description))} The machine-readable form is
<a href="openapi.json">openapi.json</a>.</p></article>
${main}
<section data-group><h2>scopes</h2><article id="scopes" data-entry><p>On TCP every route but the public ones needs a token with its scope.
<code>instance:*</code> is all of a resource, <code>*</code> is everything.</p><table><tbody>${scopeRows.join('')}</tbody></table></article></section>
<section data-group><h2>schemas</h2>${shapes.join('')}</section>
</main>
<script>${script}</script>
</body>
</html>
`;
}
