import { VivError } from '@vivarium/model';
import type { Catalog } from './catalog.ts';
import type { Digest } from './digest.ts';
import {
  digestPrefix,
  formatReference,
  normalizeReference,
  parseReference,
  type Reference,
} from './reference.ts';

/** Undefined for what is no reference, where it may still be a digest. */
function parseLeniently(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (digestPrefix(text) !== undefined) return undefined;
    throw error;
  }
}

function byReference(catalog: Catalog, text: string): Digest | undefined {
  const reference = parseLeniently(text);
  if (!reference) return undefined;
  const named = catalog.digestOf(formatReference(reference));
  if (named !== undefined || reference.digest === undefined) return named;
  return catalog.image(reference.digest) ? reference.digest : undefined;
}

/**
 * The stored image that a text means: by reference, else by digest or the beginning of one.
 *
 * @throws VivError `invalid_reference`, `ambiguous`.
 */
export function findDigest(catalog: Catalog, text: string): Digest | undefined {
  const named = text.startsWith('sha256:') ? undefined : byReference(catalog, text);
  const prefix = digestPrefix(text);
  if (named !== undefined || prefix === undefined) return named;
  const fitting = catalog.digests().filter((digest) => digest.startsWith(prefix));
  if (fitting.length > 1) {
    throw new VivError('ambiguous', `${text} fits ${fitting.length} images`, { hint: 'Write more digits.' });
  }
  return fitting[0];
}

/** True where the text is this name of an image, and not its digest. */
export function isName(name: string, text: string): boolean {
  try {
    return normalizeReference(text) === name;
  } catch {
    return false; // A digest.
  }
}
