import { chmod, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { inode, newLayerName, rootNames, rootPrefix } from './chain.ts';
import { below, nameTop, type Overlay, selfContained, tidy } from './layers.ts';
import { isSealed, linkFile } from './links.ts';
import { writeEmptyQcow2 } from './qcow2.ts';

/**
 * Gives another directory the same root disk: its layers are linked, not copied. `root.qcow2` comes last, so a kill leaves
 * a whole disk or layers without one. A disk that is there already is replaced by it; no VMM may have that open.
 *
 * @param options.top `new`: what was written to a top that is still writable stays behind, and a fresh empty one is made.
 *   `share`: the top as well, which nobody may write from now on. `prepared`: the top as well, which a VMM writes until it goes over to the layer
 *   that was prepared, and a fresh empty one is made over it.
 * @throws VivError `conflict` where the other directory has a disk over another base, `disk_full`; `not_supported` where a top that is still
 *   written can't have another name there.
 */
export async function shareLayers(
  fromDir: string,
  toDir: string,
  options: { top: 'share' | 'new' | 'prepared' },
): Promise<void> {
  const chain = await selfContained(fromDir);
  const top = path.join(fromDir, rootNames.top);
  if (options.top === 'share') await chmod(top, 0o400);
  const sealed = await isSealed(top);
  const own = sealed || options.top === 'prepared' ? [await nameTop(fromDir)] : [];
  const shared = [...own, ...chain.layers.slice(1).map((layer) => layer.name)];
  const isFresh = !(await readdir(toDir)).some((name) => name.startsWith(rootPrefix));
  if (chain.base !== undefined) await shareBase(path.join(fromDir, chain.base), toDir, isFresh);
  const written = sealed ? undefined : own[0];
  for (const name of shared.reverse())
    await linkFile(path.join(fromDir, name), path.join(toDir, name), { copy: name !== written });
  if (!isFresh) await rm(path.join(toDir, rootNames.next), { force: true });
  const placed = path.join(toDir, rootNames.top);
  const made = options.top === 'share' ? own[0] : await freshTop(toDir, below(chain, own[0]));
  if (made === undefined) throw new VivError('internal', `The top of ${fromDir} has no name of its own`);
  if (isFresh) return linkFile(path.join(toDir, made), placed);
  await rm(`${placed}.new`, { force: true }); // of one that was killed here
  await linkFile(path.join(toDir, made), `${placed}.new`);
  await rename(`${placed}.new`, placed);
  await tidy(toDir);
}

async function freshTop(dir: string, overlay: Overlay): Promise<string> {
  const name = newLayerName();
  try {
    await writeEmptyQcow2(path.join(dir, name), { ...overlay, durable: false });
    return name;
  } catch (error) {
    await rm(path.join(dir, name), { force: true });
    throw VivError.from(error);
  }
}

/** A base of a disk that was never finished makes way. */
async function shareBase(base: string, toDir: string, isFresh: boolean): Promise<void> {
  const to = path.join(toDir, path.basename(base));
  if (isFresh) return linkFile(base, to);
  const [ours, theirs, disk] = await Promise.all([base, to, path.join(toDir, rootNames.top)].map(inode));
  if (theirs !== undefined && ours !== theirs && disk === undefined) await rm(to);
  await linkFile(base, to);
}
