import type { IncomingMessage } from 'node:http';
import { type EndpointName, ndjson, progressFromWire } from '@vivarium/api/wire';
import { abortReason, type MakingOptions, Task, VivError } from '@vivarium/model';
import { withKey } from './again.ts';
import { type Address, readBytes, type Send, type Transport } from './transport.ts';
import { unreachable } from './unreachable.ts';

/** The JSON lines of an answer; the empty ones that keep it alive are left out. */
export async function* readLines(
  answer: IncomingMessage,
  address: Address,
  signal?: AbortSignal,
): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of readBytes(answer, address, signal)) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) if (line !== '') yield JSON.parse(line);
  }
}

/** A long call as a task: its stages as they come, and what `fromWire` makes of its result. */
export function longTask<W, T>(
  transport: Transport,
  name: EndpointName,
  send: Send,
  call: MakingOptions,
  fromWire: (wire: W) => T,
): Task<T> {
  return new Task((listener) =>
    withKey(name, send, call, async (keyed) => {
      const { signal } = call;
      const answer = await transport.send(name, { ...keyed, accept: ndjson, signal });
      for await (const line of readLines(answer, transport.address, signal)) {
        const { progress, result, error } = line as {
          progress?: unknown;
          result?: W;
          error?: { code: string; message: string };
        };
        if (error !== undefined) throw VivError.fromRecord(error);
        if (result !== undefined) return fromWire(result);
        const stage = progressFromWire(progress);
        call.onProgress?.(stage);
        listener(stage);
      }
      if (signal?.aborted) throw abortReason(signal);
      const cause = new Error('it went away before its answer was complete');
      throw unreachable(transport.address, Object.assign(cause, { code: 'ECONNRESET' }));
    }),
  );
}
