import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** What somebody before us calls the request, where that can be written into a header and a log, or a new name. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}
