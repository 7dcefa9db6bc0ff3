import type { Route } from '@vivarium/api';
import fc from 'fast-check';
import { operationOf, type Parameter } from './document.ts';
import { names, valuesOf } from './values.ts';

export interface FuzzRequest {
  readonly method: string;
  /** As it goes over the wire. */
  readonly target: string;
  readonly headers: Record<string, string>;
  readonly body?: Uint8Array;
  /** What the body is meant to be, where it is sent as JSON and said to be. */
  readonly json?: { readonly value: unknown };
  readonly query: readonly (readonly [name: string, text: string])[];
}

/** Requests for a route: most of them nearly right. */
export function requestsFor(route: Route): fc.Arbitrary<FuzzRequest> {
  const { parameters, requestBody } = operationOf(route);
  const path = pathOf(route.path);
  const query = queryOf(parameters.filter((parameter) => parameter.in === 'query'));
  const schema = requestBody?.content['application/json']?.schema;
  const body = schema === undefined ? rawBody(requestBody !== undefined) : jsonBody(valuesOf(schema));
  const method = route.method === 'WS' ? 'GET' : route.method;
  return fc.tuple(path, query, body, extraHeaders).map(([target, pairs, sent, more]) => {
    const search = pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
    return {
      method,
      target: search === '' ? target : `${target}?${search}`,
      headers: { ...more, ...sent.headers },
      query: pairs,
      ...(sent.body === undefined ? {} : { body: sent.body }),
      ...(sent.json === undefined ? {} : { json: sent.json }),
    };
  });
}

const extraHeaders: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  fc.constantFrom<Record<string, string>[]>(
    { accept: 'application/x-ndjson' },
    { accept: 'text/html' },
    { 'last-event-id': '1' },
    { 'last-event-id': '99999999999999999999' },
    { prefer: 'respond-async' },
    { 'x-odd': '\u00ff'.repeat(200) },
    { upgrade: 'websocket' },
    { expect: '100-continue' },
    { range: 'bytes=0-1' },
  ),
);

const segment = fc.oneof(
  { weight: 20, arbitrary: fc.constant('host') },
  { weight: 4, arbitrary: fc.constantFrom(...names).map(encode) },
  fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).map(encode),
  fc.constantFrom(
    '%',
    '%zz',
    '%ff%fe',
    '%00',
    '%2e%2e%2f',
    '%252f',
    ';',
    '*',
    '[',
    'x'.repeat(2000),
    '%F0%9F%92%A5',
  ),
);

function pathOf(pattern: string): fc.Arbitrary<string> {
  const parts = pattern.split('/').slice(1);
  return fc
    .tuple(...parts.map((part) => (part.startsWith('{') ? segment : fc.constant(part))))
    .map((filled) => `/${filled.join('/')}`);
}

function queryOf(parameters: Parameter[]): fc.Arbitrary<[string, string][]> {
  const each = parameters.map(({ name, required, schema }) => {
    const values = valuesOf(schema).map((value) => pairsOf(name, value));
    return fc
      .tuple(fc.nat({ max: 9 }), values)
      .map(([dice, pairs]) => (dice < (required ? 9 : 4) ? pairs : []));
  });
  const unknown = fc.tuple(fc.string({ maxLength: 10 }), fc.string({ maxLength: 10 })).map((pair) => [pair]);
  const extra = fc.oneof({ weight: 9, arbitrary: fc.constant([] as [string, string][]) }, unknown);
  return fc.tuple(...each, extra).map((lists) => lists.flat());
}

function pairsOf(name: string, value: unknown): [string, string][] {
  if (Array.isArray(value)) return value.map((item) => [name, textOf(item)]);
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).map(([key, item]) => [`${name}[${key}]`, textOf(item)]);
  return [[name, textOf(value)]];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : String(JSON.stringify(value));
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

interface Sent {
  headers: Record<string, string>;
  body?: Uint8Array;
  json?: { value: unknown };
}

const noise: fc.Arbitrary<Sent> = fc
  .tuple(
    fc.uint8Array({ maxLength: 2000 }),
    fc.constantFrom(
      'application/json',
      'application/x-tar',
      'text/plain',
      'multipart/form-data; boundary=x',
      'a/b;;',
    ),
  )
  .map(([body, type]) => ({ headers: { 'content-type': type }, body }));

function jsonBody(value: fc.Arbitrary<unknown>): fc.Arbitrary<Sent> {
  const good = value.map((json): Sent => {
    const body = Buffer.from(JSON.stringify(json) ?? 'null');
    return {
      headers: { 'content-type': 'application/json' },
      body,
      json: { value: JSON.parse(String(body)) },
    };
  });
  const cut = good.map((sent): Sent => ({ headers: sent.headers, body: sent.body?.subarray(0, -1) }));
  const bomb = fc.constantFrom(
    '['.repeat(100_000),
    '{"a":'.repeat(50_000),
    '"\\ud800"',
    '\ufeff{}',
    '1e999999',
  );
  const strange = bomb.map(
    (text): Sent => ({ headers: { 'content-type': 'application/json' }, body: Buffer.from(text) }),
  );
  const nothing = fc.constant<Sent>({ headers: {} });
  return fc.oneof({ weight: 16, arbitrary: good }, cut, noise, strange, nothing);
}

function rawBody(expected: boolean): fc.Arbitrary<Sent> {
  const nothing = fc.constant<Sent>({ headers: {} });
  return fc.oneof(
    { weight: expected ? 1 : 8, arbitrary: nothing },
    { weight: expected ? 6 : 1, arbitrary: noise },
  );
}
