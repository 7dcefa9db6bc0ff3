import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Engine } from '@vivarium/engine';
import { daemonSocket, VivError } from '@vivarium/model';
import { makeApp } from './app.ts';
import type { House } from './call.ts';
import { Sessions } from './exec/sessions.ts';
import type { DaemonLog } from './log.ts';
import { Pulls } from './pulls.ts';
import { listenOn } from './socket-file.ts';
import { upgrader } from './sockets/upgrade.ts';
import { version } from './version.ts';

export interface ServeOptions {
  /** Default: `vivd.sock` in the engine's data directory. */
  socket?: string;
  /** Also listens on TCP, where every request needs the token. */
  tcp?: { host: string; port: number; token: string };
  log?: DaemonLog;
  /** Milliseconds a command goes on without its client. Default 60,000. */
  graceMs?: number;
}

export interface Daemon extends AsyncDisposable {
  /** The unix socket. */
  readonly socket: string;
  /** `http://host:port` of the TCP listener. */
  readonly url: string | undefined;
  /** Stops listening, lets go of sessions and ends connections. The engine is its owner's. */
  close(): Promise<void>;
}

/** How long answers under way may take once the daemon goes. Milliseconds. */
const closeMs = 2000;

/**
 * Serves an engine over HTTP on a unix socket only its user can open.
 *
 * @throws VivError `data_dir_locked` where another daemon listens there, `port_in_use`.
 */
export async function serve(engine: Engine, options: ServeOptions = {}): Promise<Daemon> {
  const socket = options.socket ?? daemonSocket(engine.home);
  const closing = new AbortController();
  const house: House = {
    engine,
    version,
    log: options.log,
    sessions: new Sessions(options.graceMs),
    pulls: new Pulls(engine),
    closing: closing.signal,
  };
  const servers: Server[] = [];
  const local = makeServer(house);
  const file = await listenOn(local, socket);
  servers.push(local);
  let url: string | undefined;
  if (options.tcp !== undefined) {
    const server = makeServer(house, options.tcp.token);
    url = await listenTcp(server, options.tcp).catch(async (error: unknown) => {
      file.release();
      await closeServer(local);
      throw error;
    });
    servers.push(server);
  }
  let closed: Promise<void> | undefined;
  const close = async () => {
    file.release();
    await house.sessions.leaveAll();
    closing.abort(new VivError('cancelled', 'The daemon goes.'));
    await Promise.all(servers.map(closeServer));
  };
  return {
    socket,
    url,
    close: () => (closed ??= close()),
    [Symbol.asyncDispose]: () => (closed ??= close()),
  };
}

function makeServer(house: House, token?: string): Server {
  const listener = getRequestListener(
    makeApp(house, token).fetch as Parameters<typeof getRequestListener>[0],
    {
      // Streams of minutes and bodies that nobody reads are ours to end.
      autoCleanupIncoming: true,
      overrideGlobalObjects: false,
    },
  ) as RequestListener;
  // An idle client keeps its connection for long: opening one costs it more than keeping it costs us. An upload
  // may take as long as it takes.
  const server = createServer(
    { keepAliveTimeout: 600_000, requestTimeout: 0, headersTimeout: 20_000 },
    listener,
  );
  server.on('upgrade', upgrader(house, token));
  server.on('clientError', (error: NodeJS.ErrnoException, raw) => {
    if (error.code === 'ECONNRESET' || !raw.writable) return raw.destroy();
    const body = JSON.stringify({
      code: 'invalid_request',
      message: `Not an HTTP request: ${error.message}`,
    });
    const status =
      error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
    raw.end(
      `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nx-should-retry: false\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  });
  return server;
}

function listenTcp(server: Server, { host, port }: { host: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'port_in_use' : 'invalid_request';
      reject(new VivError(code, `Cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
    });
    server.listen(port, host, () => {
      const address = server.address() as AddressInfo;
      resolve(
        `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
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
