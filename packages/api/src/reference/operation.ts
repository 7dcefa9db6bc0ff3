import type { Route } from '../routes/route.ts';
import { escaped, prose } from './html.ts';
import { schemaTree, typeOf } from './schema-view.ts';

type Content = Record<string, { schema: { $ref?: string; description?: string } }>;

/** The schemas of the document by name. */
export type Schemas = Readonly<Record<string, object>>;

/** An operation of the document, as far as it is shown. */
interface Operation {
  parameters?: { name: string; in: string; required: boolean; schema: { description?: string } }[];
  requestBody?: { required: boolean; content: Content };
  responses?: Record<string, { description: string; content?: Content }>;
}

export function operationSection(route: Route, given: object, schemas: Schemas): string {
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
${parameters(operation)}${body(operation, schemas)}${responses(operation)}</article>`;
}

function parameters({ parameters = [] }: Operation): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(
    ({ name, in: where, required, schema }) =>
      `<tr><td><code>${escaped(name)}</code>${required ? '' : ' <i>optional</i>'}</td><td>${where}</td><td>${typeOf(schema)}</td><td>${prose(schema.description ?? '')}</td></tr>`,
  );
  return `<h4>Parameters</h4><table><tbody>${rows.join('')}</tbody></table>`;
}

function body({ requestBody }: Operation, schemas: Schemas): string {
  if (requestBody === undefined) return '';
  return `<h4>Body${requestBody.required ? '' : ' <i>optional</i>'}</h4>${contents(requestBody.content, schemas)}`;
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

/** With `schemas` the fields stand here, so that a search for one finds the route; else their schema is linked. */
function contents(content: Content, schemas: Schemas = {}): string {
  return Object.entries(content)
    .map(([media, { schema }]) => {
      const name = schema.$ref?.slice(schema.$ref.lastIndexOf('/') + 1) ?? '';
      const link = schemas[name] === undefined ? '' : ` ${typeOf(schema)}`;
      return `<p><code>${escaped(media)}</code>${link}</p>${schemaTree(schemas[name] ?? schema)}`;
    })
    .join('');
}
