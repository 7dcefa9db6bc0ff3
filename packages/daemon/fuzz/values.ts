import fc from 'fast-check';
import { resolve, type Schema } from './document.ts';

type Value = fc.Arbitrary<unknown>;

/** Names that are there, are not, or have a meaning for somebody on the way. */
export const names = [
  'host',
  'idle',
  'nosuch',
  'busybox',
  'latest',
  'kept',
  'pool',
  '..',
  '.',
  '%',
  '\0',
  '__proto__',
  'constructor',
];

const odd: Value = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    0,
    2 ** 31,
    2 ** 53,
    1e308,
    -0.5,
    '',
    ' ',
    '\0',
    '../../etc/passwd',
    '٣',
    'ﬃ',
  ),
  fc.constantFrom<unknown>(
    [],
    {},
    [[]],
    [null],
    { '': '' },
    { __proto__: 1 },
    'NaN',
    '1e9',
    '0x10',
    '-0',
    'true',
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('x'.repeat(5000), '\ud800', '💥'.repeat(50), 'a\nb', 'a\r\nx-injected: 1'),
  fc.double(),
  fc.jsonValue({ maxDepth: 3 }),
  fc.integer({ min: 20, max: 3000 }).map(nested),
);

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let n = 0; n < depth; n++) value = n % 2 === 0 ? [value] : { a: value };
  return value;
}

/** Values of a schema, and sometimes, at any depth, some that are none of it. */
export function valuesOf(given: Schema): Value {
  const schema = resolve(given);
  return fc.oneof({ weight: 12, arbitrary: fitting(schema) }, { weight: 1, arbitrary: odd });
}

function fitting(schema: Schema): Value {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(valuesOf));
  if (schema.properties !== undefined) return objectOf(schema.properties, schema.required ?? []);
  if (schema.items !== undefined) return fc.array(valuesOf(schema.items), { maxLength: 3 });
  const [values] = Object.values(schema.patternProperties ?? {});
  if (values !== undefined) return fc.dictionary(text({}), valuesOf(values), { maxKeys: 3 });
  if (schema.type === 'string') return text(schema);
  if (schema.type === 'integer' || schema.type === 'number') return number(schema);
  if (schema.type === 'boolean') return fc.boolean();
  return fc.oneof(fc.jsonValue({ maxDepth: 2 }), odd);
}

function objectOf(properties: Record<string, Schema>, required: string[]): Value {
  const fields = Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema)]),
  );
  const always = fc.integer({ min: 0, max: 19 }).chain((dice) =>
    fc.record(fields, {
      requiredKeys: dice === 0 ? [] : required.filter((name) => Object.hasOwn(fields, name)),
    }),
  );
  // Few fields at a time: with all of them nearly every request is refused for one.
  const some = fc.tuple(always, fc.array(fc.nat(), { maxLength: 3 })).map(([all, picks]) => {
    const keys = Object.keys(all);
    const kept = new Set([...required, ...picks.map((pick) => keys[pick % Math.max(keys.length, 1)])]);
    return Object.fromEntries(Object.entries(all).filter(([key]) => kept.has(key)));
  });
  const misspelt = fc.tuple(
    some,
    fc.constantFrom('nam', 'imag', '', '__proto__', '\ud800', 'x'.repeat(300)),
    odd,
  );
  return fc.oneof(
    { weight: 6, arbitrary: some },
    { weight: 1, arbitrary: misspelt.map(([object, key, value]) => ({ ...object, [key]: value })) },
  );
}

function text({ minLength = 0, maxLength = 60, pattern }: Schema): fc.Arbitrary<string> {
  const any = fc.oneof(
    fc.constantFrom(...names, '1s', '10GB', '/etc/hostname', '/tmp/f', 'registry.test/a/b:1', 'app', '1'),
    fc.string({ minLength, maxLength: Math.min(maxLength, 60) }),
    fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, 20) }),
  );
  if (pattern === undefined) return any;
  return fc.oneof(fc.stringMatching(new RegExp(pattern)), any);
}

/** Mostly small: a thousand copies are as valid as three, and only take longer. */
function number({ type, minimum = -100, maximum = 2 ** 53 - 1 }: Schema): Value {
  const small = fc.integer({ min: minimum, max: Math.max(minimum, Math.min(maximum, minimum + 3)) });
  const whole = fc.integer({ min: minimum, max: Math.min(maximum, 2 ** 53 - 1) });
  const bounds = fc.constantFrom(minimum - 1, maximum + 1, minimum, 0.5, -1);
  const near: Value[] = type === 'number' ? [fc.double({ min: minimum, noNaN: true })] : [];
  return fc.oneof({ weight: 8, arbitrary: small }, maximum > 5000 ? whole : small, bounds, ...near);
}
