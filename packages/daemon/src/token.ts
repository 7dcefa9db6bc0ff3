import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { VivError } from '@vivarium/model';

/**
 * Settles who may call: everybody where there is no token, else who brings it. Digests are compared, which are of one
 * length, and in constant time: how long a refusal takes tells nothing about the token.
 *
 * @throws VivError `unauthorized`
 */
export function authorize(incoming: IncomingMessage, token: string | undefined): void {
  if (token === undefined) return;
  const [, brought] = /^Bearer +(.*)$/i.exec(incoming.headers.authorization ?? '') ?? [];
  if (brought !== undefined && timingSafeEqual(digestOf(brought), digestOf(token))) return;
  throw new VivError('unauthorized', 'A bearer token is needed', {
    hint: 'Send the token the daemon was started with.',
  });
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
