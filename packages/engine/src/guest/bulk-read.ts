import { Channel, type StreamHandler, type WireStream } from '@vivarium/protocol';
import type { GuestChannel } from './channel.ts';
import { abortError, guestError } from './guest-errors.ts';
import { ReceiveQueue } from './receive-queue.ts';

/**
 * Bytes under way beyond the first window: as much as a guest's port holds, so that neither waits for the other while
 * this process collects garbage (10 ms at a time, seen) or has no CPU.
 */
const moreUnderWay = 4 * 1024 * 1024;

/** `copy.out`: the bytes of a tar stream as they come; reading slowly slows the guest. Leaving the loop ends the copy. */
export async function* readCopy(
  channel: GuestChannel,
  params: object,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (signal?.aborted) throw abortError(signal);
  const received = new ReceiveQueue();
  const stream: WireStream = channel.open(
    'copy.out',
    params,
    handlerFor(received, () => stream.release()),
  );
  stream.widen(Channel.stdin, moreUnderWay);
  const abort = () => received.end(abortError(signal as AbortSignal), true);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (;;) {
      const piece = await received.next();
      if (piece === undefined) return;
      stream.consumed(Channel.stdin, piece.data.length);
      yield piece.data;
    }
  } finally {
    signal?.removeEventListener('abort', abort);
    stream.reset({ code: 'cancelled', message: 'the reader left' });
  }
}

function handlerFor(received: ReceiveQueue, release: () => void): StreamHandler {
  return {
    response: (response) => {
      if (response.ok) return;
      release();
      received.end(guestError(response.error));
    },
    data: (_, payload) => received.push(Channel.stdin, payload),
    end: () => {
      release();
      received.end();
    },
    reset: (error) => received.end(guestError(error)),
    lost: (error) => received.end(error),
  };
}
