import type { IncomingMessage } from 'node:http';
import { VivError } from '@vivarium/model';

/** How long a client may take. Milliseconds. */
export interface Patience {
  /** For the head of a request. Default 20,000. */
  readonly headersMs: number;
  /** Between two pieces of a body. Default 60,000. */
  readonly bodyMs: number;
}

export const patience: Patience = { headersMs: 20_000, bodyMs: 60_000 };

/**
 * The body of a request, piece by piece; one that is cut off is an error, never an end. Whatever becomes of it, the connection
 * lives to carry the answer.
 *
 * @throws VivError `cancelled` where the client has left, `request_timeout` where it sends nothing for `idleMs`.
 */
export async function* readBytes(incoming: IncomingMessage, idleMs: number): AsyncGenerator<Buffer> {
  const iterator = incoming.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const next = await within(iterator.next(), idleMs);
      if (next.done) return;
      yield next.value as Buffer;
    }
  } catch (error) {
    if (error instanceof VivError) throw error;
    throw new VivError('cancelled', 'The client left in the middle of an upload', { cause: error });
  }
}

async function within<T>(pending: Promise<T>, ms: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new VivError('request_timeout', `Nothing came of the body for ${ms / 1000} s`)),
    ms,
  );
  // Where it is late its own end is nobody's any more.
  pending.catch(() => undefined);
  try {
    return await Promise.race([pending, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
