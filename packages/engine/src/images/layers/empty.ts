import type { CandidateLayer } from '../candidate.ts';
import { digestOf } from '../digest.ts';
import { tarEnd } from '../tar/writer.ts';

/** A layer with nothing in it, for images that have no layer at all. */
export function emptyLayer(): CandidateLayer {
  const digest = digestOf(tarEnd);
  const open = async function* (): AsyncGenerator<Uint8Array> {
    yield tarEnd;
  };
  return {
    digest,
    diffId: digest,
    fetch: async () => ({ source: { diffId: digest, open }, release: async () => undefined }),
  };
}
