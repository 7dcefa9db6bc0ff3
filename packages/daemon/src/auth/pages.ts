import type { IncomingMessage, ServerResponse } from 'node:http';
import { ignoredFieldsHeader, nextPageHeader } from '@vivarium/api';

/** What a browser asks before it lets a page of another origin call. */
export function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
}

export const preflight: Record<string, string> = {
  'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers': 'authorization, content-type, last-event-id, prefer, idempotency-key',
  'access-control-max-age': '600',
};

/** Tells the browser that a page of this origin may read the answer. */
export function letPageRead(outgoing: ServerResponse, origin: string): void {
  outgoing.setHeader('access-control-allow-origin', origin);
  outgoing.setHeader('vary', 'origin');
  outgoing.setHeader(
    'access-control-expose-headers',
    [nextPageHeader, ignoredFieldsHeader, 'retry-after'].join(', '),
  );
}
