import { nearest, VivError } from '@vivarium/model';
import type { TSchema } from 'typebox';

/** As much of a schema as says which fields there are. */
interface Shape {
  properties?: Record<string, Shape>;
  items?: Shape;
  anyOf?: Shape[];
}

interface Unknown {
  /** `ports[0].gest_port` */
  readonly path: string;
  readonly name: string;
  /** What is known where it stands. */
  readonly known: readonly string[];
}

/** Fields, of objects within too, that a schema does not name, as `network.speed` or `ports[0].color`. */
export function unknownFields(schema: TSchema, value: unknown): string[] {
  return [...find(schema as Shape, value, '')].map(({ path }) => path);
}

/** @throws VivError `invalid_request` with the nearest known name as its hint. */
export function refuseUnknown(schema: TSchema, value: unknown, what: string): void {
  const [unknown] = find(schema as Shape, value, '');
  if (unknown === undefined) return;
  const { path, name, known } = unknown;
  const near = nearest(name, known);
  throw new VivError('invalid_request', `${what}: there is no field ${JSON.stringify(path)}`, {
    hint: near === undefined ? `Known are ${known.join(', ') || 'none'}.` : `Did you mean ${near}?`,
  });
}

/** The value fits the schema; what is free in it (maps, anything) has no unknown fields. */
function* find(schema: Shape, value: unknown, at: string): Generator<Unknown> {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    const items = arrayItems(schema);
    if (items !== undefined)
      for (const [index, item] of value.entries()) yield* find(items, item, `${at}[${index}]`);
    return;
  }
  const properties = fieldsOf(schema);
  if (properties === undefined) return;
  for (const [name, inner] of Object.entries(value)) {
    const path = at === '' ? name : `${at}.${name}`;
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (property === undefined) yield { path, name, known: Object.keys(properties) };
    else yield* find(property, inner, path);
  }
}

/** Of a union the fields of all that it may be; undefined where any field may be there. */
function fieldsOf(schema: Shape): Record<string, Shape> | undefined {
  const named = [schema, ...(schema.anyOf ?? [])].flatMap(({ properties }) => properties ?? []);
  return named.length === 0 ? undefined : Object.assign({}, ...named);
}

function arrayItems(schema: Shape): Shape | undefined {
  return [schema, ...(schema.anyOf ?? [])].find(({ items }) => items !== undefined)?.items;
}
