import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { abortReason, VivError } from './errors.ts';
import { refuseAborted } from './progress.ts';

export interface ForwardOptions {
  /** Address on this machine to listen on. Default `127.0.0.1`. */
  hostAddress?: string;
  /** Default 0: a free one. */
  hostPort?: number;
  /** As the guest sees it. Default its own loopback. */
  host?: string;
  /** Ends it. */
  signal?: AbortSignal;
  /** Called where the guest could not be connected to; whoever has come here is sent away. */
  onRefused?: (error: VivError) => void;
}

/** A port of this machine that leads to one in a guest, for as long as it is held. */
export interface Forward extends AsyncDisposable {
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestPort: number;
  /** Stops listening, and ends the connections. */
  close(): Promise<void>;
}

/**
 * Listens here and carries each connection to a port of the guest, through its agent: no published port is needed.
 *
 * @throws VivError `port_in_use`, `invalid_request`, and the signal's reason.
 */
export async function forwardPort(
  connect: (port: number, options: { host?: string; signal?: AbortSignal }) => Promise<Duplex>,
  guestPort: number,
  options: ForwardOptions = {},
): Promise<Forward> {
  refuseAborted(options);
  const { hostAddress = '127.0.0.1', hostPort = 0, host, signal, onRefused = () => undefined } = options;
  const ending = new AbortController();
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => socket.destroy());
    connect(guestPort, { host, signal: ending.signal }).then(
      (stream) => join(socket, stream),
      (error: unknown) => {
        socket.destroy();
        if (!ending.signal.aborted) onRefused(VivError.from(error));
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'port_in_use' : 'invalid_request';
      reject(new VivError(code, `Cannot listen on ${hostAddress}:${hostPort}: ${cause.message}`, { cause }));
    });
    server.listen(hostPort, hostAddress, resolve);
  });
  const closed = new Promise<void>((resolve) => server.once('close', resolve));
  const close = () => {
    signal?.removeEventListener('abort', end);
    ending.abort();
    server.close();
    for (const socket of open) socket.destroy();
    return closed;
  };
  const end = () => void close();
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) {
    await close();
    throw abortReason(signal);
  }
  const { port } = server.address() as AddressInfo;
  return { hostAddress, hostPort: port, guestPort, close, [Symbol.asyncDispose]: close };
}

/** Each half ends by itself; one that breaks takes the other along. */
function join(socket: Socket, stream: Duplex): void {
  stream.on('error', () => socket.destroy()).on('close', () => socket.destroySoon());
  socket.on('close', () => stream.destroy());
  if (socket.destroyed) stream.destroy();
  socket.pipe(stream);
  stream.pipe(socket);
}
