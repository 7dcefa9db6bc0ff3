import type { ServerResponse } from 'node:http';
import { errorTrailer, ndjson, type ProgressLine, progressToWire, shouldRetryHeader } from '@vivarium/api';
import { type MakingOptions, type Progress, VivError } from '@vivarium/model';
import { inBackground, prefersAsync } from './background.ts';
import { type Call, sent } from './call.ts';

/** Silence after which something is sent, so that nothing on the way takes the connection for dead. */
const heartbeatMs = 15_000;

/** Stages on their way to a reader beyond which it gets no more of them. */
const maxQueuedBytes = 256 * 1024;

/** Writes, and waits while the reader does not read. Rejects with `cancelled` once the reader has gone. */
export function writePaced(outgoing: ServerResponse, data: string | Uint8Array): Promise<void> | undefined {
  if (outgoing.destroyed) throw new VivError('cancelled', 'The client has gone.');
  if (outgoing.write(data)) return undefined;
  return new Promise((resolve, reject) => {
    const settle = () => {
      outgoing.off('drain', settle).off('close', settle);
      if (outgoing.destroyed) reject(new VivError('cancelled', 'The client has gone.'));
      else resolve();
    };
    outgoing.once('drain', settle).once('close', settle);
  });
}

function heartbeat(outgoing: ServerResponse, beat: string): Disposable {
  const timer = setInterval(() => {
    // A reader that does not even take heartbeats gets no more of them.
    if (!outgoing.writableNeedDrain) outgoing.write(beat);
  }, heartbeatMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * Runs a long call. Asked for lines, its stages are sent as they come, then the result or the error, and a client that
 * leaves cancels it; else the result is the answer, and the call goes on whatever becomes of the client. A client that prefers not to
 * wait gets the operation, once what it sends is `uploaded`.
 */
export async function longCall<T>(
  call: Call,
  work: (options: MakingOptions) => PromiseLike<T>,
  toWire: (result: T) => unknown,
  uploaded?: Promise<void>,
): Promise<unknown> {
  const { outgoing, idempotencyKey } = call;
  const key = idempotencyKey === undefined ? {} : { idempotencyKey };
  if (prefersAsync(call))
    return inBackground(call, (options) => work({ ...options, ...key }), toWire, uploaded);
  if (!call.lines) return toWire(await work(key));
  outgoing.writeHead(200, { ...call.headers, 'content-type': ndjson, 'cache-control': 'no-store' });
  outgoing.flushHeaders();
  using _ = heartbeat(outgoing, '\n');
  const line = (value: ProgressLine) => outgoing.write(`${JSON.stringify(value)}\n`);
  const onProgress = (progress: Progress) => {
    // A later stage says what an earlier one did: a slow reader misses some rather than making them pile up.
    if (outgoing.writableLength < maxQueuedBytes) line({ progress: progressToWire(progress) });
  };
  try {
    const result = await work({ signal: call.signal, onProgress, ...key });
    line({ result: toWire(result) ?? null });
  } catch (thrown) {
    const error = VivError.from(thrown);
    if (error.code === 'internal')
      call.house.log?.error('A long call failed', thrown, { route: call.route.name });
    line({ error: error.toJSON() });
  }
  outgoing.end();
  return sent;
}

/** The event after which a reader goes on: what it saw last wins over what it asks for. @throws VivError `invalid_request`. */
export function sinceOf(call: Call, since: number | undefined): number | undefined {
  const last = call.incoming.headers['last-event-id'];
  if (last === undefined) return since;
  if (!/^\d{1,15}$/.test(String(last))) {
    throw new VivError('invalid_request', 'Last-Event-ID is no sequence number');
  }
  return Number(last);
}

/** How one item of a stream is written: as a line of JSON, or as a server-sent event. */
export interface StreamForm<T> {
  line(item: T): string;
  event(item: T): string;
}

/** JSON in both forms; `heads` are the lines of an event before its data, `said` is its data where that is not the whole. */
export function jsonForm<T>(
  toWire: (item: T) => unknown,
  { heads = () => '', said = toWire }: { heads?: (item: T) => string; said?: (item: T) => unknown } = {},
): StreamForm<T> {
  return {
    line: (item) => `${JSON.stringify(toWire(item))}\n`,
    event: (item) => `${heads(item)}data: ${JSON.stringify(said(item))}\n\n`,
  };
}

/** Sends items as they come, as lines or as server-sent events. The first one is waited for, so that a failure has a status. */
export async function streamItems<T>(
  call: Call,
  items: AsyncIterable<T>,
  form: StreamForm<T>,
  abort: AbortController,
): Promise<typeof sent> {
  const { outgoing, lines } = call;
  const onGone = () => abort.abort(new VivError('cancelled', 'The client has gone.'));
  const closing = () => onGone();
  call.signal.addEventListener('abort', onGone, { once: true });
  call.house.closing.addEventListener('abort', closing, { once: true });
  const iterator = items[Symbol.asyncIterator]();
  try {
    let pending = iterator.next();
    // A stream that has nothing to say yet must still begin: its head is sent once nothing failed at once.
    await Promise.race([pending, new Promise((resolve) => setImmediate(() => setImmediate(resolve)))]);
    outgoing.writeHead(200, {
      ...call.headers,
      'content-type': lines ? ndjson : 'text/event-stream',
      'cache-control': 'no-store',
    });
    outgoing.flushHeaders();
    using _ = heartbeat(outgoing, lines ? '\n' : ': still here\n\n');
    const encode = lines ? form.line : form.event;
    for (;;) {
      const next = await pending;
      if (next.done) break;
      await writePaced(outgoing, encode(next.value));
      pending = iterator.next();
    }
    outgoing.end(farewell(call));
  } catch (thrown) {
    const error = VivError.from(thrown);
    if (!outgoing.headersSent) throw error;
    if (error.code !== 'cancelled') {
      const record = JSON.stringify(error.toJSON());
      outgoing.end(
        lines ? `${JSON.stringify({ error: error.toJSON() })}\n` : `event: error\ndata: ${record}\n\n`,
      );
    } else outgoing.end(farewell(call));
  } finally {
    call.signal.removeEventListener('abort', onGone);
    call.house.closing.removeEventListener('abort', closing);
    // Its own end may wait for something that the abort has just ended; nobody needs to wait for that.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
  return sent;
}

/** The last line of a stream that the daemon's own end has cut off: without it that would look like the end of the thing. */
function farewell({ house, lines }: Call): string | undefined {
  if (!lines || !house.closing.aborted) return undefined;
  const error = new VivError('daemon_unreachable', 'vivd went away; there may be more', {
    hint: 'VMs go on. Ask again.',
  });
  return `${JSON.stringify({ error: error.toJSON() })}\n`;
}

/** Sends bytes as they come. One that breaks after it began says so in a trailer and cuts the connection's stream short. */
export async function streamBytes(
  call: Call,
  media: string,
  bytes: AsyncIterable<Uint8Array>,
): Promise<typeof sent> {
  const { outgoing } = call;
  const iterator = bytes[Symbol.asyncIterator]();
  try {
    let next = await iterator.next();
    outgoing.writeHead(200, { ...call.headers, 'content-type': media, trailer: errorTrailer });
    while (!next.done) {
      await writePaced(outgoing, next.value);
      next = await iterator.next();
    }
    outgoing.end();
  } catch (thrown) {
    const error = VivError.from(thrown);
    if (!outgoing.headersSent) throw error;
    if (!outgoing.destroyed) {
      outgoing.addTrailers({ [errorTrailer]: encodeURIComponent(JSON.stringify(error.toJSON())) });
      outgoing.end();
    }
  } finally {
    await iterator.return?.();
  }
  return sent;
}

/** The one way an error is answered. */
export function errorHeaders(error: VivError): Record<string, string> {
  return {
    'content-type': 'application/json',
    ...(error.code === 'unauthorized' ? { 'www-authenticate': 'Bearer' } : {}),
    ...(error.details?.retry_after === undefined ? {} : { 'retry-after': String(error.details.retry_after) }),
    ...(error.rule.retryable ? {} : { [shouldRetryHeader]: 'false' }),
  };
}
