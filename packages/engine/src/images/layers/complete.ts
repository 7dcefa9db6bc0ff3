import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { extractFile, type LowerLayer, type LowerNode, lowerView, readAttributes } from './lower.ts';
import type { ForeignFile } from './rewrite.ts';
import type { ScannedLayer } from './scan.ts';
import {
  type Directory,
  isDirectory,
  isPending,
  type LayerTree,
  type Leaf,
  type Node,
  shown,
} from './tree.ts';

/** As in Linux. */
const maximumSymlinks = 40;

/** Where a path of the layers below really is, inside the root whatever its links say. */
function resolveLower(view: ReadonlyMap<string, LowerNode>, parts: readonly string[]): string[] {
  const todo = [...parts];
  let done: string[] = [];
  for (let links = 0; todo.length > 0; ) {
    const part = todo.shift() ?? '';
    if (part === '' || part === '.') continue;
    if (part === '..') {
      done.pop();
      continue;
    }
    const here = [...done, part];
    const node = view.get(here.join('/'));
    if (node?.kind !== 'symlink') {
      done = here;
      continue;
    }
    if (++links > maximumSymlinks)
      throw new VivError('image_invalid', `Too many symbolic links at ${shown(here.join('/'))}`);
    if (node.entry.linkName.startsWith('/')) done = [];
    todo.unshift(...node.entry.linkName.split('/'));
  }
  return done;
}

/** Puts what is in `from` into `to`; later names win, as they would in unpacking. */
function merge(tree: LayerTree, from: Directory, to: readonly string[]): void {
  const target = tree.directory(to);
  if (from.opaque) target.opaque = true;
  for (const [name, node] of from.children) {
    const there = target.children.get(name);
    if (!isDirectory(node) || !isDirectory(there)) target.children.set(name, node);
    else {
      there.entry = node.entry ?? there.entry;
      merge(tree, node, [...to, name]);
    }
  }
}

function remove(tree: LayerTree, parts: readonly string[]): void {
  tree.directory(parts.slice(0, -1)).children.delete(parts.at(-1) ?? '');
}

/**
 * Directories that the layer only implies: unpacked on top of the layers below they would keep their attributes, and where
 * a link lies there (`bin` -> `usr/bin`), things would go through it. In a stack they would hide it instead.
 */
async function completeDirectories(
  scanned: ScannedLayer,
  view: Map<string, LowerNode>,
  layers: readonly LowerLayer[],
): Promise<void> {
  const { tree } = scanned;
  for (let work = scanned.implied; work.length > 0; ) {
    const again: string[][] = [];
    for (const parts of work) {
      const node: Node | undefined = tree.find(parts);
      if (!isDirectory(node) || node.entry) continue;
      const lower = view.get(parts.join('/'));
      if (lower?.kind === 'directory') {
        const xattrs = await readAttributes(layers[lower.layer]?.file ?? '', parts.join('/'));
        node.entry = { ...lower.entry, name: parts.join('/'), xattrs };
      } else if (lower?.kind === 'symlink') {
        const target = resolveLower(view, parts);
        remove(tree, parts);
        merge(tree, node, target);
        for (let depth = 1; depth <= target.length; depth++) again.push(target.slice(0, depth));
        for (const [name, child] of node.children)
          if (isDirectory(child) && !child.entry) again.push([...target, name]);
      } else if (lower) {
        throw new VivError(
          'image_invalid',
          `A layer has entries below ${shown(parts.join('/'))}, which is no directory in the layers below`,
        );
      }
    }
    work = again;
  }
}

/** Hard links to files of lower layers: a copy of the file, shared by all links to it in this layer. */
async function completeLinks(
  tree: LayerTree,
  view: ReadonlyMap<string, LowerNode>,
  layers: readonly LowerLayer[],
  temporary: string,
  signal?: AbortSignal,
): Promise<{ foreign: Map<Leaf, ForeignFile>; files: string[] }> {
  const foreign = new Map<Leaf, ForeignFile>();
  const files: string[] = [];
  const copies = new Map<string, Leaf>();
  for (const { path: parts, node, parent } of [...tree.walk()]) {
    if (!isPending(node)) continue;
    const target = node.pending.join('/');
    const lower = view.get(resolveLower(view, node.pending).join('/'));
    const layer = layers[lower?.layer ?? -1];
    if (!lower || !layer || lower.kind !== 'file') {
      throw new VivError(
        'image_invalid',
        `A layer has a hard link to ${shown(target)}, which is no file in it or below it`,
      );
    }
    let leaf = copies.get(target);
    if (!leaf) {
      const file = path.join(temporary, `link-${randomUUID()}`);
      const where = resolveLower(view, node.pending).join('/');
      files.push(file);
      const size = await extractFile(layer.file, where, file, signal);
      leaf = { index: -1, entry: { ...lower.entry, size, xattrs: await readAttributes(layer.file, where) } };
      foreign.set(leaf, { size, open: () => createReadStream(file) as AsyncIterable<Buffer> });
      copies.set(target, leaf);
    }
    parent.children.set(parts.at(-1) ?? '', leaf);
  }
  return { foreign, files };
}

/**
 * Gives a layer what it takes from those below it. The result stands on these layers only, not on others.
 *
 * @returns content for hard links, and the temporary files it is in.
 */
export async function completeFromLower(
  scanned: ScannedLayer,
  layers: readonly LowerLayer[],
  temporary: string,
  signal?: AbortSignal,
): Promise<{ foreign: Map<Leaf, ForeignFile>; files: string[] }> {
  const view = await lowerView(layers, signal);
  await completeDirectories(scanned, view, layers);
  return completeLinks(scanned.tree, view, layers, temporary, signal);
}
