import type { Page } from '@vivarium/model';

/** Tells hypeman's SDK not to try a deterministic failure again. */
export const shouldRetryHeader = 'x-should-retry';
/** The cursor of the next page of a listing. */
export const nextPageHeader = 'x-viv-next';
/** Number of the event that a stream of events goes on after: where to go on from when it broke before the first one came. */
export const lastEventHeader = 'x-viv-last-event';
/** Fields of the request that nothing here knows. */
export const ignoredFieldsHeader = 'x-viv-ignored-fields';
/** Names a request that makes something, so that it can be made again. */
export const idempotencyHeader = 'idempotency-key';
/** The error body before a WebSocket upgrade, or in the trailer of a stream that broke: JSON, percent-encoded. */
export const errorTrailer = 'x-viv-error';

/** RFC 7240: what a request prefers, and what of it was done. */
export const preferHeader = 'prefer';
export const preferenceAppliedHeader = 'preference-applied';
export const respondAsync = 'respond-async';

export const ndjson = 'application/x-ndjson';

/** First byte of every binary frame of an exec session. */
export const channels = { stdin: 0, stdout: 1, stderr: 2 } as const;

/** One page, with where the next one begins if there is one. */
export function pageOf<T>(
  items: T[],
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Page<T> {
  const next = headers[nextPageHeader];
  return { items, ...(next === undefined ? {} : { next: String(next) }) };
}
