import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Route, routes } from '@vivarium/api';
import { VivError, type Vm } from '@vivarium/model';
import { WebSocketServer } from 'ws';
import { type Caller, requireScope } from '../auth/caller.ts';
import type { Door } from '../auth/door.ts';
import { readRouteQuery, requireStraightPath } from '../body.ts';
import type { House } from '../call.ts';
import { StatusError } from '../status-error.ts';
import { errorHeaders } from '../stream.ts';
import { copySocket } from './copy.ts';
import { eventsSocket } from './events.ts';
import { attachSocket, comingUp, execSocket } from './exec.ts';
import { consoleSocket, tunnelSocket } from './pipe.ts';
import { FrameSocket } from './socket.ts';

export interface SocketCall {
  readonly house: House;
  readonly socket: FrameSocket;
  readonly vm: Vm;
  readonly query: unknown;
  /** Of the path, but for the instance. */
  readonly params: Readonly<Record<string, string>>;
}

/** Returns when it is done with the socket; what it throws is told to the client. */
export type SocketHandler = (call: SocketCall) => Promise<void>;

/** The same, for a socket that is no VM's. */
export type HouseSocketHandler = (call: Omit<SocketCall, 'vm' | 'params'>) => Promise<void>;

const handlers: Readonly<Partial<Record<Route['name'], SocketHandler>>> = {
  exec: execSocket,
  attach: attachSocket,
  attachSession: attachSocket,
  copy: copySocket,
  console: consoleSocket,
  tunnel: tunnelSocket,
};

const houseHandlers: Readonly<Partial<Record<Route['name'], HouseSocketHandler>>> = {
  eventsSocket,
};

/** What is used wakes an instance that sleeps; who only looks at its console does not. */
const wakers: ReadonlySet<Route['name']> = new Set(['exec', 'attach', 'attachSession', 'copy', 'tunnel']);

const socketRoutes = routes.filter((route) => route.method === 'WS');

/** A client has so long to take its leave. Milliseconds. */
const politeMs = 1000;

/** Frames are at most so long; output comes in smaller ones. */
const maxFrameBytes = 1024 * 1024;

/** Answers upgrade requests of whom the door lets in: checked like any other request first, so that a wrong state is a plain 409. */
export function upgrader(
  house: House,
  door: Door,
): (incoming: IncomingMessage, raw: Duplex, head: Buffer) => void {
  const server = new WebSocketServer({ noServer: true, maxPayload: maxFrameBytes, perMessageDeflate: false });
  house.closing.addEventListener('abort', () => {
    for (const client of server.clients) client.close(1012, 'the daemon goes');
    // A client that does not read does not see that either.
    const late = setTimeout(() => {
      for (const client of server.clients) client.terminate();
    }, politeMs);
    late.unref();
  });
  return (incoming, raw, head) => {
    raw.on('error', () => raw.destroy());
    prepare(house, incoming, door).then(
      ({ serve, caller, route }) => {
        house.tokens.hold(caller, raw);
        server.handleUpgrade(incoming, raw, head, (client) => {
          const socket = new FrameSocket(client);
          const open = house.metrics.socket(route);
          client.once('close', () => open[Symbol.dispose]());
          serve(socket).catch((thrown) => {
            const error = VivError.from(thrown);
            if (error.code === 'internal') house.log?.error('A socket failed', thrown, { url: incoming.url });
            void socket.sendJson({ error: error.toJSON() });
            socket.close(1011, error.message);
          });
        });
      },
      (thrown) => refuse(raw, VivError.from(thrown)),
    );
  };
}

async function prepare(
  house: House,
  incoming: IncomingMessage,
  door: Door,
): Promise<{ serve: (socket: FrameSocket) => Promise<void>; caller: Caller; route: string }> {
  requireStraightPath(incoming.url);
  door.knock(incoming);
  const caller = await door.authenticate(incoming);
  const url = URL.parse(incoming.url ?? '/', 'http://vivd');
  if (url === null) throw new VivError('invalid_request', 'The target is no URL');
  for (const route of socketRoutes) {
    const forHouse = houseHandlers[route.name];
    if (forHouse !== undefined && route.path === url.pathname) {
      if (route.scope !== 'public') requireScope(caller, route.scope);
      const query = readRouteQuery(route, url.searchParams, {});
      return { serve: (socket) => forHouse({ house, socket, query }), caller, route: route.name };
    }
    const pattern = route.path.replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)');
    const { id, ...found } = new RegExp(`^${pattern}$`).exec(url.pathname)?.groups ?? {};
    const handler = handlers[route.name];
    if (id === undefined || handler === undefined) continue;
    if (route.scope !== 'public') requireScope(caller, route.scope);
    const query = readRouteQuery(route, url.searchParams, {});
    const vm = await house.engine.get(decode(id));
    if (wakers.has(route.name)) await house.engine.awake(vm.id, route.name === 'tunnel' ? 'tunnel' : 'exec');
    requireState(vm, route);
    const params = Object.fromEntries(Object.entries(found).map(([name, text]) => [name, decode(text)]));
    return { serve: (socket) => handler({ house, socket, vm, query, params }), caller, route: route.name };
  }
  throw new StatusError(404, `There is no socket ${url.pathname}`);
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new VivError('invalid_request', 'The path is not well encoded', { cause });
  }
}

function requireState(vm: Vm, route: Route): void {
  const { state } = vm.info;
  const open =
    route.name === 'console' ? state !== 'Stopped' && state !== 'Suspended' : comingUp.includes(state);
  const ready = route.name === 'exec' ? open : open && (state === 'Running' || route.name === 'console');
  if (ready) return;
  throw new VivError('invalid_state', `${vm.name} is ${state}; ${route.name} needs it to be Running`, {
    hint: state === 'Stopped' ? 'Start it first.' : undefined,
    details: { state },
  });
}

/** Answers a connection that is no request's any more, and ends it. */
export function refuse(raw: Duplex, error: VivError): void {
  const status = error instanceof StatusError ? error.status : error.rule.status;
  const body = JSON.stringify(error.toJSON());
  const headers = {
    ...errorHeaders(error),
    connection: 'close',
    'content-length': String(Buffer.byteLength(body)),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  // The server has let go of the connection: a client that keeps its half would keep it open for ever.
  raw.once('finish', () => raw.destroy());
  raw.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n${lines.join('')}\r\n${body}`);
}
