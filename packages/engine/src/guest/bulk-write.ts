import { Channel, type Fields, maxPayloadBytes, ProtocolError, type WireStream } from '@vivarium/protocol';
import type { GuestChannel } from './channel.ts';
import { CreditGate } from './credit-gate.ts';
import { abortError, guestError } from './guest-errors.ts';

export interface CopyInResult {
  /** Bytes of file contents. */
  bytes: number;
  entries: number;
}

/** Chunks below this are gathered into full frames; larger ones are passed on as they are. */
const gatherBelowBytes = 32_768;

/** `copy.in`: sends a tar stream as the guest takes it, and waits until it is unpacked. */
export async function writeCopy(
  channel: GuestChannel,
  params: object,
  tar: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<CopyInResult> {
  if (signal?.aborted) throw abortError(signal);
  const answer = Promise.withResolvers<CopyInResult>();
  answer.promise.catch(() => undefined); // Awaited below, unless sending failed for the same reason first.
  const fail = (error: unknown) => {
    gate.fail(error);
    answer.reject(error);
  };
  const stream: WireStream = channel.open('copy.in', params, {
    response: (response) => {
      const result = response.ok ? readResult(response.result) : undefined;
      stream.release();
      if (result !== undefined && !ended)
        fail(new ProtocolError('unexpected_frame', 'copy.in ended before its data'));
      else if (result !== undefined) answer.resolve(result);
      else if (!response.ok) fail(guestError(response.error));
    },
    credit: () => gate.open(),
    reset: (error) => fail(guestError(error)),
    lost: fail,
  });
  // Frames that are whole: what a large chunk holds is then written in the guest in whole pages.
  const gate = new CreditGate(stream, Channel.stdin, maxPayloadBytes);
  let ended = false;
  const abort = () => fail(abortError(signal as AbortSignal));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await sendAll(channel, gate, tar, answer.promise);
    ended = true;
    stream.end(Channel.stdin);
    return await answer.promise;
  } finally {
    signal?.removeEventListener('abort', abort);
    // Nothing to do where it was answered; else the source or the caller gave up, and the guest is told.
    stream.reset({ code: 'cancelled', message: 'the copy was given up' });
  }
}

async function sendAll(
  channel: GuestChannel,
  gate: CreditGate,
  tar: AsyncIterable<Uint8Array>,
  answer: Promise<unknown>,
): Promise<void> {
  // A guest that refuses must not wait for a source that is slow to give its next chunk, nor a caller that gives up for a
  // guest that stands still.
  let refused = false;
  let stop: (error?: unknown) => void = () => undefined;
  answer.catch((error) => {
    refused = true;
    stop(error);
  });
  const unlessRefused = <T>(work: () => Promise<T>) =>
    new Promise<T>((resolve, reject) => {
      stop = reject;
      if (refused) answer.catch(reject);
      else work().then(resolve, reject);
    });
  let gathered = Buffer.alloc(0);
  let filled = 0;
  const flush = async () => {
    const full = gathered.subarray(0, filled);
    gathered = Buffer.alloc(0);
    filled = 0;
    if (full.length > 0) await gate.send(full);
  };
  const source = tar[Symbol.asyncIterator]();
  let done = false;
  try {
    for (;;) {
      const next = await unlessRefused(() => source.next());
      if (next.done) break;
      const chunk = next.value;
      if (chunk.byteLength < gatherBelowBytes) {
        if (filled + chunk.byteLength > maxPayloadBytes) await flush();
        if (gathered.length === 0) gathered = Buffer.allocUnsafeSlow(maxPayloadBytes);
        gathered.set(chunk, filled);
        filled += chunk.byteLength;
        continue;
      }
      await flush();
      await gate.send(chunk);
      // The chunk is the source's again once it asks for the next.
      const flushed = channel.flushed();
      if (flushed !== undefined) await unlessRefused(() => flushed);
    }
    done = true;
    await flush();
  } finally {
    // Not awaited: a source that hangs must not hold up the error.
    if (!done) source.return?.()?.catch(() => undefined);
  }
}

const readResult = (result: Fields): CopyInResult => ({
  bytes: result.uint('bytes'),
  entries: result.uint('entries'),
});
