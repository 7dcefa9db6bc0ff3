import type { CallOptions } from '@vivarium/model';
import type { Digest } from './digest.ts';
import type { LayerSource } from './layers/convert.ts';

/** A layer that may have to be fetched first. */
export interface CandidateLayer {
  /** Of the blob for people and progress. */
  digest: Digest;
  diffId: Digest;
  size?: number;
  /** Brings the layer within reach. `release` when it is no longer needed; `keep` what was fetched where it will be asked for again. */
  fetch(options: CallOptions): Promise<{ source: LayerSource; release(keep: boolean): Promise<void> }>;
}

/** An image that is about to be taken into the store: from a registry, a layout or an archive. */
export interface Candidate {
  /** Normalised; empty where the archive names none. */
  references: string[];
  manifest: Uint8Array;
  config: Uint8Array;
  layers: CandidateLayer[];
}
