import { chmod, link, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import {
  type Chain,
  inode,
  isLayerName,
  newLayerName,
  ownName,
  readChain,
  readLayer,
  rootNames,
} from './chain.ts';
import { bringBase, isSealed, linkFile, syncDirectory } from './links.ts';
import { isEmptyQcow2, writeEmptyQcow2 } from './qcow2.ts';

/** A disk between two tops. Absolute paths. */
export interface PreparedLayer {
  /** What the VMM is to write from now on: an empty overlay over `frozen`. */
  next: string;
  /** What was the top until then, by the name that stays. */
  frozen: string;
}

/**
 * Prepares the next top of a root disk, live or stopped: no process is spawned, and nothing changes for a VMM. Then either
 * the VMM goes over to `next` and {@link commitLayer} makes that the top, or {@link abandonLayer} undoes it; after a kill in
 * between {@link settleLayer} finds out which.
 *
 * @throws VivError `conflict` where one is prepared already, `disk_full`.
 */
export async function newLayerFor(dir: string): Promise<PreparedLayer> {
  if ((await inode(path.join(dir, rootNames.next))) !== undefined)
    throw new VivError('conflict', `The disk in ${dir} has a new layer prepared already`);
  const { layers } = await selfContained(dir);
  const frozen = await nameTop(dir);
  const backing = { name: frozen, format: 'qcow2' } as const;
  const next = await prepareLayer(dir, { bytes: layers[0].header.bytes, backing });
  return { next: path.join(dir, next), frozen: path.join(dir, frozen) };
}

/**
 * Whether the top of a root disk is as it would be were it new: nothing was ever written to it, and what lies below it is as large, and
 * read-only. Of a disk that a VMM has open that is certain only while its vCPUs stand still.
 */
export async function isTopNew(dir: string): Promise<boolean> {
  const top = path.join(dir, rootNames.top);
  const { layers, base } = await readChain(top);
  const [{ header }, below] = layers;
  if (below === undefined) {
    if (base === undefined) return false;
  } else if (below.header.bytes !== header.bytes || !(await isSealed(path.join(dir, below.name)))) {
    return false;
  }
  return !(await isSealed(top)) && (await isEmptyQcow2(top));
}

/** Makes the prepared layer the top, once the VMM writes to it or where there is none. Nothing where none is prepared. */
export async function commitLayer(dir: string): Promise<void> {
  const next = path.join(dir, rootNames.next);
  if ((await inode(next)) === undefined) return;
  const { header } = await readLayer(dir, rootNames.next);
  await rename(next, path.join(dir, rootNames.top));
  if (header.backing?.format === 'qcow2') await seal(path.join(dir, header.backing.name));
}

/** Takes back what was prepared and no VMM writes to. Nothing where nothing is prepared. */
export async function abandonLayer(dir: string): Promise<void> {
  await rm(path.join(dir, rootNames.next), { force: true });
  await tidy(dir);
}

/**
 * Brings a root disk in order after a kill. Idempotent.
 *
 * @param liveTop What the VMM that has the disk open writes to ({@link DiskLayerer.topLayer}); undefined where there is none.
 *   Without a VMM a prepared layer is always right: either the VMM went over to it, or it is empty.
 */
export async function settleLayer(dir: string, liveTop: string | undefined): Promise<void> {
  const [top, next] = [path.join(dir, rootNames.top), path.join(dir, rootNames.next)];
  if (liveTop !== undefined) await takeAsTop(dir, path.basename(liveTop));
  else if ((await inode(next)) !== undefined) await rename(next, top);
  await rm(next, { force: true });
  for (const { name } of (await readChain(top)).layers.slice(1)) await seal(path.join(dir, name));
  await tidy(dir);
}

async function takeAsTop(dir: string, name: string): Promise<void> {
  const live = path.join(dir, name);
  const wanted = await inode(live);
  if (wanted === undefined)
    throw new VivError('internal', `The VMM writes to ${name}, which is not in ${dir}`);
  if (wanted === (await inode(path.join(dir, rootNames.top)))) return;
  const temporary = path.join(dir, `${rootNames.top}.new`);
  await rm(temporary, { force: true });
  await link(live, temporary);
  await rename(temporary, path.join(dir, rootNames.top));
}

/**
 * Gives up what was written to the top of a stopped disk: a fresh empty top takes its place, over the layer below and as
 * large as that. A top that was shared has nothing to give up: it becomes the layer below.
 */
export async function dropTop(dir: string): Promise<void> {
  await rm(path.join(dir, rootNames.next), { force: true });
  const chain = await selfContained(dir);
  const sealed = await isSealed(path.join(dir, rootNames.top));
  await prepareLayer(dir, below(chain, sealed ? await nameTop(dir) : undefined));
  await commitLayer(dir);
  await tidy(dir);
}

/** What a new top stands on: the present one, by the name that it has where it is kept, or what lies below that. */
export function below(chain: Chain, keptTop: string | undefined): Overlay {
  const [top, second] = chain.layers;
  const kept = keptTop === undefined ? second : { ...top, name: keptTop };
  if (kept) return { bytes: kept.header.bytes, backing: { name: kept.name, format: 'qcow2' } };
  if (chain.base === undefined)
    throw new VivError('internal', `There is nothing below the top ${top.name} of a disk`);
  return { bytes: top.header.bytes, backing: { name: chain.base, format: 'raw' } };
}

export interface Overlay {
  bytes: number;
  backing: { name: string; format: 'qcow2' | 'raw' };
}

export async function prepareLayer(dir: string, overlay: Overlay): Promise<string> {
  const name = newLayerName();
  try {
    await writeEmptyQcow2(path.join(dir, name), { ...overlay, durable: true });
    await callNext(dir, name);
    return name;
  } catch (error) {
    await rm(path.join(dir, name), { force: true });
    throw VivError.from(error);
  }
}

/** A layer is whole, and on the disk, before it is called the next top: after that a guest may trust it. */
async function callNext(dir: string, name: string): Promise<void> {
  const next = path.join(dir, rootNames.next);
  await link(path.join(dir, name), next);
  try {
    await syncDirectory(dir);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}

/** The chain, in which the lowest layer names a base in the same directory. */
export async function selfContained(dir: string): Promise<Chain> {
  const chain = await readChain(path.join(dir, rootNames.top));
  if (chain.base === undefined) return chain;
  return { ...chain, base: await bringBase(dir, (chain.layers.at(-1) ?? chain.layers[0]).name, chain.base) };
}

/** Gives the top the name it is known by once it is no longer the top. */
export async function nameTop(dir: string): Promise<string> {
  const known = await ownName(dir, rootNames.top);
  if (known) return known;
  const name = newLayerName();
  await linkFile(path.join(dir, rootNames.top), path.join(dir, name));
  return name;
}

async function seal(file: string): Promise<void> {
  if (!(await isSealed(file))) await chmod(file, 0o400);
}

/** Removes layers that are in no chain here: of what was abandoned, dropped, or never finished. */
export async function tidy(dir: string): Promise<void> {
  const used = new Set<string>();
  for (const head of [rootNames.top, rootNames.next]) {
    if ((await inode(path.join(dir, head))) === undefined) continue;
    for (const { name } of (await readChain(path.join(dir, head))).layers)
      used.add((await ownName(dir, name)) ?? name);
  }
  if (used.size === 0) return;
  const names = (await readdir(dir)).filter((name) => isLayerName(name) || isHalfMade(name));
  for (const name of names) if (!used.has(name)) await rm(path.join(dir, name), { force: true });
}

const isHalfMade = (name: string): boolean => /^root\..*\.new$/.test(name);
