import { VivError } from '@vivarium/model';
import type { TarEntry } from '../tar/entry.ts';
import { readTar } from '../tar/reader.ts';
import { isDirectory, isPending, LayerTree, pathParts, shown } from './tree.ts';

/** Memory that the tree of one layer may take: about a million entries. A bomb of headers ends here. */
const metadataBudget = 256 * 1024 * 1024;
const entryOverhead = 200;
/** Content of one layer, unpacked. */
const maximumContent = 256 * 1024 ** 3;

/** Linux device numbers: 12 bits of major, 20 of minor. */
const maximumMajor = 0xfff;
const maximumMinor = 0xfffff;
const maximumId = 0xffffffff;

const whiteout = '.wh.';
const opaqueMarker = '.wh..wh..opq';

/** A whiteout as overlayfs knows it. */
export function whiteoutEntry(): TarEntry {
  return {
    kind: 'character',
    name: '',
    linkName: '',
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    major: 0,
    minor: 0,
    xattrs: new Map(),
  };
}

/**
 * What of an entry's attributes goes on. squashfs holds only these name spaces; overlayfs's own would let a layer redirect
 * directories to where it likes.
 */
function keepAttributes(entry: TarEntry): void {
  for (const key of entry.xattrs.keys()) {
    const kept = /^(user|security|trusted)\../.test(key) && !key.startsWith('trusted.overlay.');
    if (!kept) entry.xattrs.delete(key);
  }
}

function check(entry: TarEntry): void {
  const ids = [entry.uid, entry.gid];
  if (
    ids.some((id) => id < 0 || id > maximumId) ||
    entry.major > maximumMajor ||
    entry.minor > maximumMinor
  ) {
    throw new VivError(
      'image_invalid',
      `A layer has an owner or device number out of range at ${shown(entry.name)}`,
    );
  }
}

export interface ScannedLayer {
  tree: LayerTree;
  /** Directories without an entry of their own: their attributes are those of the layers below. */
  implied: string[][];
  /** True where the layer can only be understood together with the layers below. */
  needsLower: boolean;
}

class Scanner {
  readonly tree = new LayerTree();
  #memory = 0;
  #content = 0;
  readonly #whiteouts: string[][] = [];

  add(entry: TarEntry, index: number): void {
    this.#charge(entry);
    const parts = pathParts(entry.name);
    const base = parts.at(-1) ?? '';
    if (parts.slice(0, -1).some((part) => part.startsWith(whiteout))) {
      if (parts.some((part) => part.startsWith('.wh..wh.'))) return; // aufs' own book-keeping
      throw new VivError('image_invalid', `A layer has an entry below the whiteout ${shown(entry.name)}`);
    }
    if (base.startsWith(whiteout)) {
      this.#whiteout(parts, base);
      return;
    }
    check(entry);
    keepAttributes(entry);
    if (entry.kind === 'directory') this.tree.addDirectory(parts, entry);
    else if (entry.kind === 'link') this.tree.addLink(parts, pathParts(entry.linkName));
    else this.tree.addLeaf(parts, { entry, index });
  }

  #charge(entry: TarEntry): void {
    this.#content += entry.size;
    this.#memory += entryOverhead + entry.name.length + entry.linkName.length;
    for (const [key, value] of entry.xattrs) this.#memory += key.length + value.length;
    if (this.#memory <= metadataBudget && this.#content <= maximumContent) return;
    throw new VivError('image_invalid', 'A layer has more entries or more content than is accepted', {
      hint: 'The limits are about a million entries and 256 GiB in one layer.',
    });
  }

  #whiteout(parts: string[], base: string): void {
    const parent = parts.slice(0, -1);
    if (base === opaqueMarker) {
      this.tree.directory(parent).opaque = true;
    } else if (!base.startsWith('.wh..wh.')) {
      const hidden = base.slice(whiteout.length);
      if (hidden === '' || hidden === '.' || hidden === '..') {
        throw new VivError(
          'image_hostile',
          `A layer has the whiteout ${shown(base)}, which hides what is not in its directory`,
        );
      }
      this.#whiteouts.push([...parent, hidden]);
    }
  }

  /** Whiteouts hide what lies below, never what the same layer brings; their place in the tar says nothing. */
  finish(): ScannedLayer {
    for (const parts of this.#whiteouts) {
      const parent = this.tree.directory(parts.slice(0, -1));
      const name = parts.at(-1) ?? '';
      const there = parent.children.get(name);
      if (there === undefined) parent.children.set(name, { index: -1, entry: whiteoutEntry() });
      else if (isDirectory(there)) there.opaque = true;
    }
    const implied: string[][] = [];
    let needsLower = false;
    for (const { path, node, parent } of this.tree.walk()) {
      if (isPending(node)) {
        // A link that comes before its target in the tar.
        const target = this.tree.find(node.pending);
        if (isDirectory(target) || target === node)
          throw new VivError(
            'image_invalid',
            `A hard link to itself or a directory at ${shown(path.join('/'))}`,
          );
        if (target === undefined || isPending(target)) needsLower = true;
        else parent.children.set(path.at(-1) ?? '', target);
      } else if (isDirectory(node) && node.entry === undefined && path.length > 0) {
        implied.push(path);
        // What is opaque hides what is below, its attributes too.
        needsLower = true;
      }
    }
    return { tree: this.tree, implied, needsLower };
  }
}

/**
 * Reads the names and attributes of a layer, not its content, and refuses what is hostile before anything is written.
 *
 * @throws VivError `image_hostile`, `image_invalid`, `archive_invalid`, `not_supported`.
 */
export async function scanLayer(tar: AsyncIterable<Uint8Array>): Promise<ScannedLayer> {
  const scanner = new Scanner();
  let index = 0;
  for await (const { entry } of readTar(tar)) scanner.add(entry, index++);
  return scanner.finish();
}
