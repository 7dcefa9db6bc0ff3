import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { absentRoutes, idempotencyHeader, ndjson, type Route, routes } from '@vivarium/api';
import { VivError } from '@vivarium/model';
import { type Context, Hono } from 'hono';
import { type Caller, requireScope } from './auth/caller.ts';
import type { Door } from './auth/door.ts';
import { isPreflight, letPageRead, preflight } from './auth/pages.ts';
import { readBody, readRouteQuery, requireStraightPath } from './body.ts';
import { Accepted, type Call, type Handler, type House, JsonText, sent } from './call.ts';
import * as copies from './handlers/copies.ts';
import * as docs from './handlers/docs.ts';
import * as events from './handlers/events.ts';
import * as files from './handlers/files.ts';
import * as guest from './handlers/guest.ts';
import * as images from './handlers/images.ts';
import * as instances from './handlers/instances.ts';
import * as listing from './handlers/listing.ts';
import * as metrics from './handlers/metrics.ts';
import * as operations from './handlers/operations.ts';
import * as pools from './handlers/pools.ts';
import * as resources from './handlers/resources.ts';
import * as schedules from './handlers/schedules.ts';
import * as sessions from './handlers/sessions.ts';
import * as snapshots from './handlers/snapshots.ts';
import * as system from './handlers/system.ts';
import * as templates from './handlers/templates.ts';
import * as tokens from './handlers/tokens.ts';
import { notThere } from './handlers/unsupported.ts';
import * as volumes from './handlers/volumes.ts';
import { requestIdOf } from './request-id.ts';
import { StatusError } from './status-error.ts';
import { errorHeaders } from './stream.ts';

type Env = { Bindings: HttpBindings };

const handlers: Readonly<Record<string, Handler>> = {
  ...system,
  ...events,
  ...operations,
  ...metrics,
  ...images,
  ...instances,
  ...listing,
  ...guest,
  ...files,
  ...sessions,
  ...schedules,
  ...copies,
  ...snapshots,
  ...templates,
  ...pools,
  ...resources,
  ...tokens,
  ...docs,
  ...volumes,
};

/** The HTTP routes over an engine, for whom the door lets in. */
export function makeApp(house: House, door: Door): Hono<Env> {
  const app = new Hono<Env>();
  app.use(async (c, next) => {
    const { incoming, outgoing } = c.env;
    requireStraightPath(incoming.url);
    const origin = door.knock(incoming);
    if (origin !== undefined) letPageRead(outgoing, origin);
    if (origin === undefined || !isPreflight(incoming)) return next();
    return new Response(null, { status: 204, headers: preflight });
  });
  const methods = new Map<string, string[]>();
  for (const route of routes) {
    const path = route.path.replaceAll(/\{(\w+)\}/g, ':$1');
    methods.set(path, [...(methods.get(path) ?? []), route.method === 'WS' ? 'GET' : route.method]);
    if (route.method === 'WS') {
      app.get(path, (c) =>
        answerError(c, new StatusError(426, `${route.path} is a WebSocket`, 'Ask for an upgrade.'), house),
      );
      continue;
    }
    const handler = handlers[route.name];
    if (handler === undefined) throw new VivError('internal', `No handler for the route ${route.name}`);
    app.on(route.method, path, (c) => answer(c, house, route, handler, door));
  }
  for (const { method, path: pattern, what } of absentRoutes) {
    const path = pattern.replaceAll(/\{(\w+)\}/g, ':$1');
    methods.set(path, [...(methods.get(path) ?? []), method]);
    app.on(method, path, async (c) => {
      await door.authenticate(c.env.incoming as IncomingMessage);
      throw notThere(what);
    });
  }
  for (const [path, allowed] of methods) {
    app.all(path, (c) => {
      c.header('allow', allowed.join(', '));
      return answerError(
        c,
        new StatusError(405, `${c.req.method} is not for ${c.req.path}`, `Use ${allowed.join(' or ')}.`),
        house,
      );
    });
  }
  app.notFound((c) =>
    answerError(c, new StatusError(404, `There is no ${c.req.path}`, 'See /openapi.json.'), house),
  );
  app.onError((error, c) => answerError(c, error, house));
  return app;
}

async function answer(
  c: Context<Env>,
  house: House,
  route: Route,
  handler: Handler,
  door: Door,
): Promise<Response> {
  const { incoming, outgoing } = c.env as { incoming: IncomingMessage; outgoing: ServerResponse };
  const headers: Record<string, string> = {};
  const requestId = requestIdOf(incoming);
  outgoing.setHeader('x-request-id', requestId);
  const began = performance.now();
  outgoing.once('close', () =>
    house.metrics.request(
      route.name,
      route.method,
      outgoing.writableFinished ? outgoing.statusCode : 499,
      (performance.now() - began) / 1000,
    ),
  );
  try {
    const caller = await admit(house, route, door, incoming, outgoing);
    const { traceparent } = incoming.headers;
    const trace = typeof traceparent === 'string' ? traceparent : undefined;
    const asked: Call = {
      house,
      engine: house.engine,
      route,
      caller,
      params: params(c, route),
      query: readRouteQuery(route, new URL(incoming.url ?? '/', 'http://vivd').searchParams, headers),
      body: await readBody(route, incoming, headers, house.patience.bodyMs),
      incoming,
      outgoing,
      signal: goneSignal(outgoing),
      idempotencyKey: route.idempotent ? keyOf(incoming) : undefined,
      lines: incoming.headers.accept?.includes(ndjson) === true,
      headers,
    };
    const origin = { requestId, traceparent: trace, principal: caller.tokenId };
    const result = await house.engine.from(origin, () => handler(asked));
    if (result === sent) return RESPONSE_ALREADY_SENT;
    if (result === undefined) return new Response(null, { status: route.status, headers });
    return sendJson(
      outgoing,
      result instanceof Accepted ? 202 : route.status,
      headers,
      result instanceof JsonText
        ? result.text
        : JSON.stringify(result instanceof Accepted ? result.operation : result),
    );
  } catch (error) {
    // Half an answer can't be taken back; the client sees the connection break.
    if (!outgoing.headersSent) return answerError(c, error, house, headers);
    house.log?.error('An answer broke off', error, { route: route.name, request: requestId });
    outgoing.destroy();
    return RESPONSE_ALREADY_SENT;
  }
}

async function admit(
  house: House,
  { scope }: Route,
  door: Door,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<Caller> {
  if (scope === 'public') {
    return door.welcome(incoming);
  }
  const caller = await door.authenticate(incoming);
  requireScope(caller, scope);
  house.tokens.hold(caller, outgoing);
  return caller;
}

function keyOf({ headers }: IncomingMessage): string | undefined {
  const key = headers[idempotencyHeader];
  // Said twice it is one text with a comma, and no less a key.
  return key === undefined ? undefined : String(key);
}

/** At once and in one piece. A Response makes a stream of its text, which is read again turn by turn, up to a timer's. */
function sendJson(
  outgoing: ServerResponse,
  status: number,
  headers: Record<string, string>,
  text: string,
): Response {
  outgoing.writeHead(status, {
    ...headers,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  outgoing.end(text);
  return RESPONSE_ALREADY_SENT;
}

function params(c: Context<Env>, route: Route): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name = ''] of route.path.matchAll(/\{(\w+)\}/g)) found[name] = c.req.param(name) ?? '';
  return found;
}

/** Fires when the connection ends before the answer has. */
function goneSignal(outgoing: ServerResponse): AbortSignal {
  const controller = new AbortController();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) controller.abort(new VivError('cancelled', 'The client has gone.'));
  });
  return controller.signal;
}

function answerError(
  c: Context<Env>,
  thrown: unknown,
  house: House,
  headers: Record<string, string> = {},
): Response {
  const error = VivError.from(thrown);
  if (error.code === 'internal')
    house.log?.error('A request failed', thrown, {
      method: c.req.method,
      path: c.req.path,
      request: (c.env as { outgoing?: ServerResponse } | undefined)?.outgoing?.getHeader('x-request-id'),
    });
  const status = error instanceof StatusError ? error.status : error.rule.status;
  const allow = c.res.headers.get('allow');
  return new Response(JSON.stringify(error.toJSON()), {
    status,
    headers: {
      ...headers,
      ...errorHeaders(error),
      ...(allow === null ? {} : { allow }),
      // Whoever has stopped in the middle of a body is not waited for.
      ...(status === 408 ? { connection: 'close' } : {}),
    },
  });
}
