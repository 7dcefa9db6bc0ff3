import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { LayerMerge } from '../drivers/driver.ts';
import { readChain, rootNames } from './chain.ts';

/** Each layer is an open file of the VMM, and one more table to look into for what it does not have. */
export const maxLayers = 8;
/** Of the lowest layers so many are left alone at most: what is merged has to be short. */
const mostKept = 4;

/**
 * Whether there are more layers under the top of a disk than there should be, and down to which one they are merged: the
 * large ones at the bottom stay. So a byte is copied again only when as much has been written above it, and what is
 * shared with many others is copied seldom.
 */
export async function planMerge(dir: string, most = maxLayers): Promise<LayerMerge | undefined> {
  const { layers, base } = await readChain(path.join(dir, rootNames.top));
  const under = layers.slice(1);
  if (under.length <= most || base === undefined) return undefined;
  const sizes = await Promise.all(under.map(async ({ name }) => (await stat(path.join(dir, name))).blocks));
  const kept = keptLayers(sizes);
  return { base: kept === 0 ? base : (under.at(-kept)?.name ?? base), layers: under.length, kept };
}

/** How many of the lowest stay, given the sizes from the top to the bottom: those that are larger than all above them together. */
export function keptLayers(sizes: readonly number[]): number {
  let above = sizes.reduce((sum, size) => sum + size, 0);
  let kept = 0;
  for (const size of sizes.toReversed()) {
    above -= size;
    if (size <= above || kept === mostKept) break;
    kept += 1;
  }
  return Math.min(kept, Math.max(0, sizes.length - 2));
}
