import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { isVivError, VivError } from '@vivarium/model';
import Type from 'typebox';
import {
  absentRoutes,
  CreateInstance,
  check,
  endpoints,
  features,
  featuresWith,
  openApi,
  readQuery,
  refuseUnknown,
  routes,
} from './index.ts';

type Json = Record<string, unknown>;

test('every endpoint has a route, and no two routes share method and path', () => {
  assert.deepEqual(routes.map((route) => route.name).sort(), Object.keys(endpoints).sort());
  assert.equal(new Set(routes.map((route) => `${route.method} ${route.path}`)).size, routes.length);
});

test('every route is of one feature, and capabilities name each that the driver can do', () => {
  const listed = Object.values(features).flatMap(({ routes: names }) => names);
  assert.deepEqual([...listed].sort(), routes.map(({ name }) => name).sort());
  const driver = { save: true, volumes: true, pause: true, prepare: true, shutdownKeepsVmm: true };
  assert.deepEqual(featuresWith(driver), Object.keys(features));
  const without = featuresWith({ ...driver, save: false });
  for (const id of ['standby', 'fork', 'snapshots', 'templates']) assert.ok(!without.includes(id), id);
  assert.ok(without.includes('pools') && without.includes('volumes'));
});

test('no route is there and said to be absent', () => {
  const there = new Set(routes.map((route) => `${route.method} ${route.path.replaceAll(/\{\w+\}/g, '{}')}`));
  const both = absentRoutes.filter(({ method, path }) =>
    there.has(`${method} ${path.replaceAll(/\{\w+\}/g, '{}')}`),
  );
  assert.deepEqual(both, []);
});

test('the OpenAPI document has every route, and every reference in it leads somewhere', () => {
  const document = JSON.parse(JSON.stringify(openApi('1.2.3'))) as {
    openapi: string;
    paths: Record<string, Json>;
    components: { schemas: Json };
  };
  assert.equal(document.openapi, '3.1.0');
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item)) as {
    operationId: string;
    parameters: { name: string; in: string }[];
    responses: Record<string, { description: string }>;
  }[];
  // A path that is a stream as well as a socket is described once.
  const twice = routes.filter(
    ({ method, path }) =>
      method === 'WS' && routes.some((other) => other.method === 'GET' && other.path === path),
  );
  assert.equal(operations.length, routes.length - twice.length);
  for (const route of routes) {
    if (twice.includes(route)) continue;
    const operation = operations.find((candidate) => candidate.operationId === route.name);
    assert.ok(operation);
    const inPath = operation.parameters
      .filter((parameter) => parameter.in === 'path')
      .map((parameter) => parameter.name);
    assert.deepEqual(
      inPath,
      [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
    );
    for (const response of Object.values(operation.responses)) assert.ok(response.description.length > 0);
  }
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { $ref } = value as { $ref?: string };
    if ($ref !== undefined)
      assert.ok(Object.hasOwn(document.components.schemas, $ref.replace('#/components/schemas/', '')), $ref);
    for (const inner of Object.values(value)) walk(inner);
  };
  walk(document);
});

test('the OpenAPI document is one, as its meta-schema has it', async () => {
  const { valid, errors } = await new Validator().validate(
    JSON.parse(JSON.stringify(openApi('1.2.3'))) as Record<string, unknown>,
  );
  assert.ok(valid, JSON.stringify(errors));
});

test('a wrong field is named in the error, deep ones and missing ones too', () => {
  const message = (body: unknown) => {
    try {
      check(CreateInstance, body, 'body');
    } catch (error) {
      assert.ok(isVivError(error, 'invalid_request'));
      return error.message;
    }
    return assert.fail('was taken');
  };
  assert.match(message({}), /image/);
  assert.match(message({ image: 'x', vcpus: 'two' }), /vcpus/);
  assert.match(message({ image: 'x', ports: [{ guest_port: 0 }] }), /ports\[0\]\.guest_port/);
  assert.match(message([]), /object/);
});

test('a misspelt field is refused with the nearest name', () => {
  const schema = Type.Object({ timeout_ms: Type.Integer(), force: Type.Boolean() });
  assert.throws(
    () => refuseUnknown(schema, { timeoutms: 1 }, 'body'),
    (e) => e instanceof VivError && e.hint === 'Did you mean timeout_ms?',
  );
  assert.throws(
    () => refuseUnknown(schema, { zebra: 1 }, 'body'),
    (e) => e instanceof VivError && /force/.test(e.hint ?? ''),
  );
  refuseUnknown(schema, { force: true }, 'body');
});

test('a query is read by its schema: numbers, booleans, repeated and bracketed keys', () => {
  const schema = Type.Object({
    limit: Type.Integer(),
    force: Type.Boolean(),
    viv_state: Type.Array(Type.String()),
    tags: Type.Record(Type.String(), Type.String()),
  });
  const text =
    'limit=5&force=true&viv_state=Running&viv_state=Paused&tags%5Bteam%5D=be&tags[__proto__]=x&other=1&__proto__=2';
  const { query, unknown } = readQuery(schema, new URLSearchParams(text));
  assert.equal(query.limit, 5);
  assert.equal(query.force, true);
  assert.deepEqual(query.viv_state, ['Running', 'Paused']);
  assert.equal((query.tags as Record<string, string>).team, 'be');
  assert.deepEqual(unknown, ['other', '__proto__']);
  assert.equal(({} as Json).x, undefined);
  assert.equal(readQuery(schema, new URLSearchParams('limit=abc')).query.limit, 'abc');
});
