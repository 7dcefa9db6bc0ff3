import { VivError } from '@vivarium/model';
import type { Static, TObject, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

const compiled = new WeakMap<TSchema, Validator>();

/** The value, when it fits the schema. @throws VivError `invalid_request` naming the first field that does not. */
export function check<T extends TSchema>(schema: T, value: unknown, what: string): Static<T> {
  let validator = compiled.get(schema);
  if (validator === undefined) {
    validator = Compile(schema) as unknown as Validator;
    compiled.set(schema, validator);
  }
  if (validator.Check(value)) return value as Static<T>;
  const errors = validator.Errors(value).map((error) => ({
    field: fieldName(error.instancePath, error.params),
    problem: error.message,
  }));
  const [first] = errors;
  const where = first?.field ? `${first.field} ` : '';
  throw new VivError('invalid_request', `${what}: ${where}${first?.problem ?? 'is not what is expected'}`, {
    details: { errors: errors.slice(0, 20) },
  });
}

/** `/ports/0/guest_port` -> `ports[0].guest_port`; a missing field is named itself. */
function fieldName(pointer: string, params: object): string {
  const required = (params as { requiredProperties?: string[] }).requiredProperties?.[0];
  const steps = [...pointer.split('/').slice(1), ...(required === undefined ? [] : [required])];
  return steps.map((step, i) => (/^\d+$/.test(step) ? `[${step}]` : `${i === 0 ? '' : '.'}${step}`)).join('');
}

/**
 * A query string as the object its schema describes: numbers, booleans, repeated keys and `key[sub]=value` unpacked.
 * What the schema does not name is left out, and listed.
 */
export function readQuery(
  schema: TObject,
  params: URLSearchParams,
): { query: Record<string, unknown>; unknown: string[] } {
  const query: Record<string, unknown> = {};
  const unknown: string[] = [];
  for (const [key, text] of params) {
    const deep = /^([^[]+)\[([^\]]*)\]$/.exec(key);
    const name = deep?.[1] ?? key;
    const property = Object.hasOwn(schema.properties, name)
      ? (schema.properties[name] as { type?: string })
      : undefined;
    if (property === undefined) unknown.push(name);
    else if (property.type === 'array')
      query[name] = [...((query[name] as string[] | undefined) ?? []), text];
    else if (deep !== null) query[name] = { ...(query[name] as object | undefined), [deep[2] ?? '']: text };
    else query[name] = scalar(property.type, text);
  }
  return { query, unknown };
}

/** What can't be read stays text, and the schema then says what was expected. */
function scalar(type: string | undefined, text: string): unknown {
  if (type === 'integer' || type === 'number') return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (type === 'boolean')
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text;
  return text;
}
