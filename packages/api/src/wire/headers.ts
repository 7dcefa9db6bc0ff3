/** Tells hypeman's SDK not to try a deterministic failure again. */
export const shouldRetryHeader = 'x-should-retry';
/** The cursor of the next page of a listing. */
export const nextPageHeader = 'x-viv-next';
/** Fields of the request that nothing here knows. */
export const ignoredFieldsHeader = 'x-viv-ignored-fields';
/** Names a request that makes something, so that it can be made again. */
export const idempotencyHeader = 'idempotency-key';
/** The error body before a WebSocket upgrade, or in the trailer of a stream that broke: JSON, percent-encoded. */
export const errorTrailer = 'x-viv-error';

export const ndjson = 'application/x-ndjson';

/** First byte of every binary frame of an exec session. */
export const channels = { stdin: 0, stdout: 1, stderr: 2 } as const;
