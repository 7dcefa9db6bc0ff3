import { randomUUID } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { type Qcow2Header, readQcow2Header } from './qcow2.ts';

/**
 * File names of a root disk in its directory. Every layer has a name of its own, for as long as it lives: a VMM opens a
 * file again by the name it knows when the file becomes read-only. `root.qcow2` and `root.next.qcow2` are further hard links.
 */
export const rootNames = { top: 'root.qcow2', next: 'root.next.qcow2', base: 'root.base.raw' } as const;

/** Of all of them, and of whatever is half made. */
export const rootPrefix = 'root.';

const layerName = /^root\.[0-9a-f]{12}\.qcow2$/;
/** A VMM would run out of open files before; only a loop is longer. */
const longestChain = 1000;

export const isLayerName = (name: string): boolean => layerName.test(name);

export const newLayerName = (): string => `root.${randomUUID().replaceAll('-', '').slice(-12)}.qcow2`;

export interface Layer {
  /** File name. */
  name: string;
  header: Qcow2Header;
}

export interface Chain {
  /** From the top to the bottom; at least one. */
  layers: [Layer, ...Layer[]];
  /** What the lowest one stands on, as it names it; undefined where it stands on nothing. */
  base?: string;
}

/**
 * The layers of a disk, read from their headers: a fraction of a millisecond each.
 *
 * @param file Absolute path of the top.
 * @throws VivError `path_not_found` where one is missing, `internal` where one is damaged.
 */
export async function readChain(file: string): Promise<Chain> {
  const dir = path.dirname(file);
  let layer = await readLayer(dir, path.basename(file));
  const layers: Chain['layers'] = [layer];
  while (layer.header.backing?.format === 'qcow2') {
    const { name } = layer.header.backing;
    if (name.includes('/') || layers.length === longestChain)
      throw new VivError('internal', `The disk ${file} has no chain of layers: ${layer.name} names ${name}`);
    layer = await readLayer(dir, name);
    layers.push(layer);
  }
  const base = layer.header.backing?.name;
  return { layers, ...(base === undefined ? {} : { base }) };
}

export async function readLayer(dir: string, name: string): Promise<Layer> {
  const file = path.join(dir, name);
  try {
    return { name, header: await readQcow2Header(file) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw VivError.from(error);
    throw new VivError('path_not_found', `There is no disk at ${file}`, { cause: error });
  }
}

/** File names of a root disk's layers from the top to the bottom, without the base. The first is `root.qcow2`. */
export async function rootLayers(dir: string): Promise<string[]> {
  return (await readChain(path.join(dir, rootNames.top))).layers.map((layer) => layer.name);
}

export async function inode(file: string): Promise<bigint | undefined> {
  try {
    return (await stat(file, { bigint: true })).ino;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The layer's own name of a file that is known by another one. */
export async function ownName(dir: string, name: string): Promise<string | undefined> {
  if (isLayerName(name)) return name;
  const wanted = await inode(path.join(dir, name));
  const names = (await readdir(dir)).filter(isLayerName);
  const inodes = await Promise.all(names.map((other) => inode(path.join(dir, other))));
  return names.find((_, index) => wanted !== undefined && inodes[index] === wanted);
}
