import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Engine } from '@vivarium/engine';
import { daemonSocket, VivError } from '@vivarium/model';
import { makeApp } from './app.ts';
import type { Rate } from './auth/buckets.ts';
import { Door } from './auth/door.ts';
import { namesOf, requireSafe, type TcpOptions } from './auth/listener.ts';
import { Tokens } from './auth/tokens.ts';
import type { House } from './call.ts';
import { Sessions } from './exec/sessions.ts';
import { type Patience, patience } from './incoming.ts';
import type { DaemonLog } from './log.ts';
import { Metrics } from './metrics/metrics.ts';
import { Pulls } from './pulls.ts';
import { listenOn } from './socket-file.ts';
import { refuse, upgrader } from './sockets/upgrade.ts';
import { StatusError } from './status-error.ts';
import { version } from './version.ts';

export interface ServeOptions {
  /** Default: `vivd.sock` in the engine's data directory. */
  socket?: string;
  /** Also listens on TCP, where every request needs a token. */
  tcp?: TcpOptions;
  /** Names beside loopback's and the listener's own that the daemon may be asked for under, in lower case. */
  hosts?: readonly string[];
  /** Origins of web pages that may call. Default: none. */
  origins?: readonly string[];
  /** Requests on TCP for each token. Default: no limit. */
  rate?: Rate;
  log?: DaemonLog;
  /** How long clients may take. */
  patience?: Partial<Patience>;
  /** Milliseconds a command goes on without its client. Default 60,000. */
  graceMs?: number;
}

export interface Daemon extends AsyncDisposable {
  /** The unix socket. */
  readonly socket: string;
  /** `http://host:port` of the TCP listener, `https:` with TLS. */
  readonly url: string | undefined;
  /** Stops listening, lets go of sessions and ends connections. The engine is its owner's. */
  close(): Promise<void>;
}

/** How long answers under way may take once the daemon goes. Milliseconds. */
const closeMs = 2000;

/**
 * Serves an engine over HTTP on a unix socket only its user can open.
 *
 * @throws VivError `data_dir_locked` where another daemon listens there, `port_in_use`, `invalid_request` for an address
 * that the network can reach, without TLS.
 */
export async function serve(engine: Engine, options: ServeOptions = {}): Promise<Daemon> {
  const { tcp, hosts = [], origins = [], rate } = options;
  if (tcp !== undefined) requireSafe(tcp);
  const socket = options.socket ?? daemonSocket(engine.home);
  const closing = new AbortController();
  const house: House = {
    engine,
    version,
    url: undefined,
    log: options.log,
    sessions: new Sessions(options.graceMs),
    pulls: new Pulls(engine),
    metrics: new Metrics(engine, version),
    tokens: new Tokens(engine.home),
    patience: { ...patience, ...options.patience },
    closing: closing.signal,
  };
  const servers: Server[] = [];
  const { tokens } = house;
  const local = makeServer(house, new Door({ tokens, hosts, origins, local: true }));
  const file = await listenOn(local, socket);
  servers.push(local);
  if (tcp !== undefined) {
    const names = [...hosts, ...namesOf(tcp)];
    const door = new Door({ tokens, hosts: names, origins, local: false, token: tcp.token, rate });
    const server = makeServer(house, door, tcp.tls);
    house.url = await listenTcp(server, tcp).catch(async (error: unknown) => {
      file.release();
      await closeServer(local);
      throw error;
    });
    servers.push(server);
  }
  const unwatch = logOperations(house);
  let closed: Promise<void> | undefined;
  const close = async () => {
    file.release();
    await house.sessions.leaveAll();
    closing.abort(new VivError('cancelled', 'The daemon goes.'));
    await Promise.all(servers.map(closeServer));
    tokens[Symbol.dispose]();
    house.metrics[Symbol.dispose]();
    unwatch();
  };
  return {
    socket,
    url: house.url,
    close: () => (closed ??= close()),
    [Symbol.asyncDispose]: () => (closed ??= close()),
  };
}

/** A line for each operation that has ended: what a log is searched for. */
function logOperations({ engine, log }: House): () => void {
  return engine.operations.onEnd((report, milliseconds) => {
    const { id, action, state, resource, parent, requestId, error } = report;
    const about = resource === undefined ? {} : { [resource.kind]: resource.id, name: resource.name };
    const code = error === undefined ? {} : { error: error.code, why: error.message };
    log?.info('operation', {
      operation: id,
      action,
      state,
      milliseconds,
      ...about,
      parent,
      request: requestId,
      ...code,
    });
  });
}

function makeServer(house: House, door: Door, tls?: TcpOptions['tls']): Server {
  const listener = getRequestListener(
    makeApp(house, door).fetch as Parameters<typeof getRequestListener>[0],
    {
      // Streams of minutes and bodies that nobody reads are ours to end.
      autoCleanupIncoming: true,
      overrideGlobalObjects: false,
    },
  ) as RequestListener;
  // An idle client keeps its connection for long: opening one costs it more than keeping it costs us. An upload
  // may take as long as it takes.
  const { headersMs } = house.patience;
  const timeouts = {
    keepAliveTimeout: 600_000,
    requestTimeout: 0,
    headersTimeout: headersMs,
    connectionsCheckingInterval: Math.ceil(headersMs / 4),
    // A client whose machine has gone says no word of it; the kernel finds out.
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  };
  const server =
    tls === undefined
      ? createServer(timeouts, listener)
      : createTlsServer({ ...timeouts, ...tls, minVersion: 'TLSv1.2' }, listener);
  server.on('upgrade', upgrader(house, door));
  server.on('clientError', (error: NodeJS.ErrnoException, raw) => {
    if (error.code === 'ECONNRESET' || !raw.writable) return raw.destroy();
    refuse(raw, refusalOf(error));
  });
  return server;
}

/** What is wrong with a request that was not understood, by Node's word for it. */
function refusalOf({ code, message }: NodeJS.ErrnoException): VivError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new VivError('request_timeout', 'The head of the request did not come in time');
  return new StatusError(code === 'HPE_HEADER_OVERFLOW' ? 431 : 400, `Not an HTTP request: ${message}`);
}

function listenTcp(server: Server, { host, port, tls }: TcpOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'port_in_use' : 'invalid_request';
      reject(new VivError(code, `Cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
    });
    server.listen(port, host, () => {
      const address = server.address() as AddressInfo;
      resolve(
        `http${tls === undefined ? '' : 's'}://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
      );
    });
  });
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const late = setTimeout(() => server.closeAllConnections(), closeMs);
  await closed;
  clearTimeout(late);
}
