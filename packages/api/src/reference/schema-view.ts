import { escaped, prose } from './html.ts';

/** As much of JSON Schema as the API's own schemas use. */
interface Schema {
  $ref?: string;
  type?: string;
  description?: string;
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  maxItems?: number;
}

/** The fields of a schema, those of objects within indented below them. */
export function schemaTree(given: object): string {
  const schema = given as Schema;
  const about = schema.description === undefined ? '' : `<p>${prose(schema.description)}</p>`;
  const inside = objectOf(schema);
  if (inside === undefined) return `<p>${typeOf(schema)}</p>${about}`;
  return `${about}${fieldList(inside)}`;
}

function fieldList({ properties = {}, required = [] }: Schema): string {
  const fields = Object.entries(properties).map(([name, field]) => {
    const inside = objectOf(field);
    const needed = required.includes(name) ? '' : ' <i>optional</i>';
    return `<dt><code>${escaped(name)}</code> <span>${typeOf(field)}</span>${needed}</dt><dd>${prose(
      field.description ?? '',
    )}${inside === undefined ? '' : fieldList(inside)}</dd>`;
  });
  return fields.length === 0 ? '<p>No fields.</p>' : `<dl>${fields.join('')}</dl>`;
}

/** The object whose fields are worth showing: the schema itself, or what it is a list of. */
function objectOf(schema: Schema): Schema | undefined {
  if (schema.properties !== undefined) return schema;
  return schema.items?.properties === undefined ? undefined : schema.items;
}

/** What kind of value it is, in one line. */
export function typeOf(given: object): string {
  const schema = given as Schema;
  if (schema.$ref !== undefined) {
    const name = schema.$ref.slice(schema.$ref.lastIndexOf('/') + 1);
    return `<a href="#schema-${name}">${name}</a>`;
  }
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(' or ');
  if (schema.const !== undefined) return literal(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(literal).join(' ');
  if (schema.items !== undefined) return `array of ${typeOf(schema.items)}${limits(schema)}`;
  const [values] = Object.values(schema.patternProperties ?? {});
  if (values !== undefined) return `map to ${typeOf(values)}`;
  return `${schema.type ?? 'anything'}${limits(schema)}`;
}

function literal(value: unknown): string {
  return `<code>${escaped(JSON.stringify(value))}</code>`;
}

function limits({ minimum, maximum, minLength, maxLength, maxItems, pattern }: Schema): string {
  const said = [
    ...(minimum === undefined ? [] : [`from ${minimum}`]),
    ...(maximum === undefined ? [] : [`to ${maximum}`]),
    ...(minLength === undefined ? [] : [`at least ${minLength} characters`]),
    ...(maxLength === undefined ? [] : [`at most ${maxLength} characters`]),
    ...(maxItems === undefined ? [] : [`at most ${maxItems}`]),
    ...(pattern === undefined ? [] : [`like <code>${escaped(pattern)}</code>`]),
  ];
  return said.length === 0 ? '' : ` (${said.join(', ')})`;
}
