import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';

/** What fits into `sun_path`, without its NUL. */
const maxAddressBytes = 107;

/**
 * Connects to a unix socket in a directory whose path may be longer than a socket address can be: the directory is opened,
 * and named through its descriptor.
 */
export async function connectUnix(dir: string, name: string, signal?: AbortSignal): Promise<Socket> {
  signal?.throwIfAborted();
  const plain = `${dir}/${name}`;
  if (Buffer.byteLength(plain) <= maxAddressBytes) return connectTo(plain, signal);
  const handle = await open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await connectTo(`/proc/self/fd/${handle.fd}/${name}`, signal);
  } finally {
    await handle.close();
  }
}

function connectTo(path: string, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
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
      resolve(socket);
    });
  });
}

/** True where nobody listens (yet, or any more). */
export function isNotListening(error: unknown): boolean {
  return ['ENOENT', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '');
}
