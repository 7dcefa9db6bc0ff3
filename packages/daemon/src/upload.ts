import { VivError } from '@vivarium/model';
import type { Call } from './call.ts';

/** The body; one that is cut off is an error, never an end. */
export async function* upload(call: Call): AsyncGenerator<Uint8Array> {
  try {
    // Whatever becomes of the archive, the connection must live to carry the answer.
    yield* call.incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    throw new VivError('cancelled', 'The client left in the middle of an upload', { cause });
  }
}
