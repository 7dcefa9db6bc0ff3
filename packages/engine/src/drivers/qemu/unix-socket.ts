import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';

/** What fits into `sun_path`, without its NUL. */
const maxAddressBytes = 107;

/**
 * Connects to a unix socket in a directory whose path may be longer than a socket address can be: the directory is opened,
 * and named through its descriptor.
 */
export function connectUnix(dir: string, name: string, signal?: AbortSignal): Promise<Socket> {
  return inDirectory(dir, name, signal, (path) => connect(path));
}

/** What all sockets of {@link connectUnixForMuch} read into, one after the other. Bytes: four frames, and what QEMU writes at a time. */
const sharedBytes = 256 * 1024;
let shared: Buffer | undefined;

/**
 * As {@link connectUnix}, for much to be read: a chunk is only good until its listener returns. What would be allocated for each costs more
 * in the collection of garbage than all else that is done with it.
 */
export function connectUnixForMuch(dir: string, name: string, signal?: AbortSignal): Promise<Socket> {
  shared ??= Buffer.allocUnsafeSlow(sharedBytes);
  const buffer = shared;
  return inDirectory(dir, name, signal, (path) => {
    const callback = (count: number) => {
      socket.emit('data', buffer.subarray(0, count));
      return true;
    };
    const socket: Socket = connect({ path, onread: { buffer, callback } });
    return socket;
  });
}

async function inDirectory(
  dir: string,
  name: string,
  signal: AbortSignal | undefined,
  dial: (path: string) => Socket,
): Promise<Socket> {
  signal?.throwIfAborted();
  const plain = `${dir}/${name}`;
  if (Buffer.byteLength(plain) <= maxAddressBytes) return connected(dial(plain), signal);
  const handle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await connected(dial(`/proc/self/fd/${handle.fd}/${name}`), signal);
  } finally {
    await handle.close();
  }
}

function connected(socket: Socket, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const abort = () => socket.destroy(signal?.reason);
    const settle = () => {
      signal?.removeEventListener('abort', abort);
      socket.removeAllListeners('error');
      socket.removeAllListeners('connect');
    };
    signal?.addEventListener('abort', abort, { once: true });
    socket.once('error', (error) => {
      settle();
      reject(error);
    });
    socket.once('connect', () => {
      settle();
      // One that is lost before its owner listens is heard of by 'close'.
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

/** True where nobody listens (yet, or any more). */
export function isNotListening(error: unknown): boolean {
  return ['ENOENT', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '');
}
