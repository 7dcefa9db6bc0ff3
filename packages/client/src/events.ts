import { setTimeout as delay } from 'node:timers/promises';
import type { Event } from '@vivarium/api';
import { eventFromWire, lastEventHeader, ndjson } from '@vivarium/api/wire';
import { abortReason, type EventOptions, type InstanceEvent, isVivError } from '@vivarium/model';
import { readLines } from './lines.ts';
import type { Transport } from './transport.ts';
import { items } from './vm.ts';

/** Milliseconds between two tries to find a daemon again that was there before. */
const againMs = 250;
const longestMs = 5000;

/**
 * Events of the daemon. A connection that is lost is made again, after the number of the last event; a daemon that has gone is
 * waited for, as long as the signal allows. One that was never there is an error at once.
 */
export async function* remoteEvents(
  transport: Transport,
  options: EventOptions,
): AsyncGenerator<InstanceEvent> {
  const { instance, types, kinds, follow, signal } = options;
  let { since } = options;
  let pause = 0;
  let connected = false;
  for (;;) {
    if (signal?.aborted) throw abortReason(signal);
    try {
      const filter = { instance, type: types && [...types], kind: kinds && [...kinds], follow };
      const answer = await transport.send('events', { query: { since, ...filter }, accept: ndjson, signal });
      connected = true;
      pause = 0;
      // Where nothing has come yet, nothing may be missed between this connection and the next one.
      since ??= numberIn(answer.headers[lastEventHeader]);
      for await (const wire of items<Event>(readLines(answer, transport.address, signal), signal)) {
        since = wire.seq;
        yield eventFromWire(wire);
      }
      if (follow === false) return;
    } catch (error) {
      if (signal?.aborted && connected) return;
      if (!connected || !isVivError(error, 'daemon_unreachable')) throw error;
      await delay(pause, undefined, { signal }).catch(() => undefined);
      pause = Math.min(longestMs, 2 * pause || againMs);
    }
    if (signal?.aborted) return;
  }
}

function numberIn(header: string | string[] | undefined): number | undefined {
  return header === undefined ? undefined : Number(header);
}
