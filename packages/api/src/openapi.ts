import { type ErrorCode, errorTable } from '@vivarium/model';
import Type, { type TObject, type TSchema } from 'typebox';
import { routes } from './routes/index.ts';
import { isBytes, type Route } from './routes/route.ts';
import { FileChange } from './schemas/directory.ts';
import { ErrorBody } from './schemas/error.ts';
import { Event, LogEntry } from './schemas/instance.ts';
import { Operation } from './schemas/operation.ts';
import { PoolEvent } from './schemas/pool.ts';
import { SessionPiece } from './schemas/session.ts';
import { CopyStart, ExecControl, ExecNotice, ExecStart } from './schemas/socket.ts';
import { idempotencyHeader, ndjson } from './wire/headers.ts';

type Json = Record<string, unknown>;

/** Any route may answer these. */
const everywhere: readonly ErrorCode[] = [
  'invalid_request',
  'unauthorized',
  'forbidden',
  'payload_too_large',
  'rate_limited',
  'internal',
];

const idempotencyKey = {
  name: idempotencyHeader,
  in: 'header',
  required: false,
  description:
    'Names the request for 24 hours. Sent again with the same key it finds what it has made already, joins what is under way, or makes what came to nothing; with the key of another request it is a conflict.',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
};

/** The API as an OpenAPI 3.1 document, made from the routes. */
export function openApi(version: string): Json {
  const schemas: Record<string, unknown> = {};
  const paths: Record<string, Json> = {};
  for (const schema of [
    ErrorBody,
    ExecStart,
    ExecControl,
    ExecNotice,
    CopyStart,
    Event,
    FileChange,
    PoolEvent,
    SessionPiece,
  ])
    reference(schema, schemas);
  schemas.LogEntry = inline(LogEntry, schemas);
  for (const route of routes) {
    const item = paths[route.path] ?? {};
    paths[route.path] = item;
    const method = route.method === 'WS' ? 'get' : route.method.toLowerCase();
    // A path may be had as a stream, too: there is one description of its GET.
    if (route.method === 'WS' && item.get !== undefined)
      item.get = { ...(item.get as Json), 'x-websocket': true };
    else item[method] = operation(route, schemas);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Vivarium',
      version,
      description:
        'A superset of hypeman’s API. Routes of hypeman keep its fields; what is added is named as such.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [
      'system',
      'images',
      'instances',
      'guest',
      'copies',
      'pools',
      'operations',
      'volumes',
      'tokens',
    ].map((name) => ({
      name,
    })),
    paths,
    components: {
      schemas,
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'On TCP. The unix socket needs none: only its owner can open it.',
        },
      },
    },
  };
}

function operation(route: Route, schemas: Json): Json {
  const parameters = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  return {
    operationId: route.name,
    summary: route.summary,
    tags: [route.tag],
    security: route.scope === 'public' ? [] : [{ bearer: [route.scope] }],
    ...(route.method === 'WS' ? { 'x-websocket': true } : {}),
    parameters: [
      ...parameters,
      ...queryParameters(route.query, schemas),
      ...(route.idempotent ? [idempotencyKey] : []),
      ...(route.progress === undefined ? [] : [prefer]),
    ],
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: route.bodyOptional !== true, content: content(route.body, schemas) } }),
    responses: responses(route, schemas),
  };
}

const prefer: Json = {
  name: 'prefer',
  in: 'header',
  required: false,
  description: 'respond-async: answer 202 with the operation at once, or (wait=SECONDS) after so long.',
  schema: { type: 'string' },
};

function queryParameters(query: TObject | undefined, schemas: Json): Json[] {
  if (query === undefined) return [];
  const required = new Set((query.required as string[] | undefined) ?? []);
  return Object.entries(query.properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.has(name),
    ...(name === 'tags' ? { style: 'deepObject', explode: true } : {}),
    schema: inline(schema, schemas),
  }));
}

function responses(route: Route, schemas: Json): Json {
  const error = { 'application/json': { schema: reference(ErrorBody, schemas) } };
  const byStatus: Record<string, Json> = {};
  const own: readonly ErrorCode[] = [
    ...(route.idempotent ? (['conflict'] as const) : []),
    ...(route.body === undefined ? [] : (['request_timeout'] as const)),
  ];
  for (const code of new Set([...everywhere, ...route.errors, ...own])) {
    const { status, meaning } = errorTable[code];
    const known = byStatus[status] as { description: string } | undefined;
    byStatus[status] = {
      description: `${known === undefined ? '' : `${known.description}\n`}\`${code}\`: ${meaning}`,
      content: error,
    };
  }
  if (route.body !== undefined && !isBytes(route.body))
    byStatus[415] = { description: '`invalid_request`: The body is not said to be JSON.', content: error };
  if (route.method === 'WS')
    byStatus[426] = { description: '`invalid_request`: No upgrade was asked for.', content: error };
  const answers = answerContent(route, schemas);
  byStatus[route.status] = {
    description: route.summary,
    ...(Object.keys(answers).length === 0 ? {} : { content: answers }),
  };
  // Lines begin before anybody knows how it ends.
  if (route.progress !== undefined && route.status !== 200)
    byStatus[200] = { description: 'With `Accept: application/x-ndjson`', content: progressLines };
  if (route.progress !== undefined) {
    byStatus[202] = {
      description:
        'Asked for with `Prefer: respond-async`: it goes on by itself, and Location is where to look.',
      // hypeman's pull answers 202 by itself, with the image.
      content: content(
        route.status === 202 && route.answer !== undefined && !isBytes(route.answer)
          ? Type.Union([route.answer, Operation])
          : Operation,
        schemas,
      ),
    };
  }
  return byStatus;
}

const progressLines: Json = {
  [ndjson]: {
    schema: { type: 'string', description: 'Lines of {"progress"}, at last one of {"result"} or {"error"}.' },
  },
};

function answerContent(route: Route, schemas: Json): Json {
  return {
    ...(route.answer === undefined ? {} : content(route.answer, schemas)),
    ...(route.alternative === undefined ? {} : content(route.alternative, schemas)),
    ...(route.progress !== undefined && route.status === 200 ? progressLines : {}),
  };
}

function content(body: NonNullable<Route['answer']>, schemas: Json): Json {
  if (!isBytes(body)) return { 'application/json': { schema: inline(body, schemas) } };
  return { [body.media]: { schema: { type: 'string', description: body.description } } };
}

/** A named schema goes to the components and is referred to; anything else stands where it is. */
function inline(schema: TSchema, schemas: Json): unknown {
  if (Array.isArray(schema)) return schema.map((item) => inline(item as TSchema, schemas));
  if (typeof schema !== 'object' || schema === null) return schema;
  if (typeof (schema as Json).$id === 'string') return reference(schema, schemas);
  return fields(schema, schemas);
}

function reference(schema: TSchema, schemas: Json): Json {
  const name = (schema as { $id?: string }).$id ?? '';
  if (!Object.hasOwn(schemas, name)) {
    schemas[name] = {};
    const { $id: _, ...rest } = fields(schema, schemas);
    schemas[name] = rest;
  }
  return { $ref: `#/components/schemas/${name}` };
}

function fields(schema: TSchema, schemas: Json): Json {
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, inline(value as TSchema, schemas)]),
  );
}
