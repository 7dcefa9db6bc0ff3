import { VivError } from '@vivarium/model';
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

function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0] !== undefined && ranked[0].distance <= Math.max(2, word.length / 3)
    ? ranked[0].name
    : undefined;
}

/** Levenshtein's: insertions, deletions and replacements between two words. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= Math.min(a.length, 64); i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
