import type { Route } from '../routes/route.ts';
import { escaped, prose } from './html.ts';
import { schemaTree, typeOf } from './schema-view.ts';

type Content = Record<string, { schema: { description?: string } }>;

/** An operation of the document, as far as it is shown. */
interface Operation {
  parameters?: { name: string; in: string; required: boolean; schema: { description?: string } }[];
  requestBody?: { required: boolean; content: Content };
  responses?: Record<string, { description: string; content?: Content }>;
}

export function operationSection(route: Route, given: object): string {
  const operation = given as Operation;
  const badges = [
    `<span class="badge">${route.origin}</span>`,
    route.scope === 'public'
      ? '<span class="badge">public</span>'
      : `<a class="badge" href="#scopes">${route.scope}</a>`,
  ];
  return `<article id="${route.name}" data-entry>
<h3><b class="m ${route.method}">${route.method}</b> <a href="#${route.name}">${escaped(route.path)}</a></h3>
<p>${prose(route.summary)}</p><p>${badges.join(' ')}</p>
${parameters(operation)}${body(operation)}${responses(operation)}</article>`;
}

function parameters({ parameters = [] }: Operation): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(
    ({ name, in: where, required, schema }) =>
      `<tr><td><code>${escaped(name)}</code>${required ? '' : ' <i>optional</i>'}</td><td>${where}</td><td>${typeOf(schema)}</td><td>${prose(schema.description ?? '')}</td></tr>`,
  );
  return `<h4>Parameters</h4><table><tbody>${rows.join('')}</tbody></table>`;
}

function body({ requestBody }: Operation): string {
  if (requestBody === undefined) return '';
  return `<h4>Body${requestBody.required ? '' : ' <i>optional</i>'}</h4>${contents(requestBody.content)}`;
}

function responses({ responses = {} }: Operation): string {
  const entries = Object.entries(responses);
  const good = entries.filter(([status]) => Number(status) < 400);
  const bad = entries.filter(([status]) => Number(status) >= 400);
  const answers = good.map(
    ([status, { content }]) =>
      `<h4>Answer <code>${status}</code></h4>${content === undefined ? '<p>No body.</p>' : contents(content)}`,
  );
  const rows = bad.map(
    ([status, { description }]) => `<tr><td><code>${status}</code></td><td>${prose(description)}</td></tr>`,
  );
  return `${answers.join('')}<details><summary>Errors</summary><table><tbody>${rows.join('')}</tbody></table></details>`;
}

function contents(content: Content): string {
  return Object.entries(content)
    .map(([media, { schema }]) => `<p><code>${escaped(media)}</code></p>${schemaTree(schema)}`)
    .join('');
}
