import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EndpointName, idempotentRoutes } from '@vivarium/api/wire';
import { abortReason, checkIdempotencyKey, isVivError, type MakingOptions } from '@vivarium/model';
import type { Send } from './transport.ts';

/** Pauses before a request is made again. Milliseconds; the first is for a connection that was only lost. */
const pauses: readonly number[] = [10, 100, 500, 2000, 5000];

/**
 * Makes a request that may be made several times again where its connection breaks on the way: a few times, with pauses that grow. A
 * daemon that was never reached is an error at once.
 */
export async function again<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
  for (let made = 0; ; made++) {
    try {
      return await attempt();
    } catch (error) {
      const pause = pauses[made];
      if (pause === undefined || signal?.aborted || !mayAskAgain(error, made > 0)) throw error;
      await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal }).catch((cause: unknown) => {
        throw signal?.aborted ? abortReason(signal) : cause;
      });
    }
  }
}

/** A request that makes something: it gets a key, and with that may be made again, unless what it sends can be read only once. */
export async function withKey<T>(
  name: EndpointName,
  send: Send,
  { signal, idempotencyKey }: MakingOptions,
  attempt: (send: Send) => Promise<T>,
): Promise<T> {
  if (!idempotentRoutes.has(name)) return attempt(send);
  const key = idempotencyKey ?? randomUUID();
  checkIdempotencyKey(key);
  const keyed = { ...send, idempotencyKey: key };
  return isStream(send.bytes) ? attempt(keyed) : again(signal, () => attempt(keyed));
}

export function isStream(bytes: unknown): bytes is AsyncIterable<Uint8Array> {
  return typeof bytes === 'object' && bytes !== null && Symbol.asyncIterator in bytes;
}

/** `reached`: somebody has answered before, and whoever follows him may still be on the way. */
function mayAskAgain(error: unknown, reached: boolean): boolean {
  if (isVivError(error, 'data_dir_locked')) return reached;
  if (!isVivError(error, 'daemon_unreachable')) return false;
  const { code = '', syscall, message } = (error.cause ?? {}) as NodeJS.ErrnoException;
  if (syscall === 'connect') return reached;
  return broken.has(code) || message === 'aborted' || message === 'socket hang up';
}

const broken: ReadonlySet<string> = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE']);
