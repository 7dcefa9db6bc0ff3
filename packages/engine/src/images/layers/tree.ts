import { VivError } from '@vivarium/model';
import type { TarEntry } from '../tar/entry.ts';

/** A file, link, device: what one or more names (hard links) stand for. */
export interface Leaf {
  /** Which entry of the tar carries its content. */
  index: number;
  entry: TarEntry;
}

/** A hard link whose target the layer has not (or not yet). */
export interface PendingLink {
  pending: string[];
}

export interface Directory {
  children: Map<string, Node>;
  /** Undefined: no entry of its own, only things in it. */
  entry?: TarEntry;
  /** What lower layers have in it is hidden. */
  opaque: boolean;
}

export type Node = Directory | Leaf | PendingLink;

export const isDirectory = (node: Node | undefined): node is Directory =>
  node !== undefined && 'children' in node;
export const isPending = (node: Node | undefined): node is PendingLink =>
  node !== undefined && 'pending' in node;

export const emptyDirectory = (): Directory => ({ children: new Map(), opaque: false });

/** Names for messages: bytes as text, cut short. */
export function shown(name: string): string {
  const text = Buffer.from(name, 'latin1').toString('utf8');
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}

function hostile(why: string): VivError {
  return new VivError('image_hostile', `A layer of the image is hostile: ${why}`, {
    hint: 'Nothing was unpacked. Find out who built this image.',
  });
}

function invalid(why: string): VivError {
  return new VivError('image_invalid', `A layer of the image is damaged: ${why}`);
}

/**
 * The parts of a name below the layer's root.
 *
 * @throws VivError `image_hostile` for absolute names and for `..`; `image_invalid` for what no file system can hold.
 */
export function pathParts(name: string): string[] {
  if (name.startsWith('/')) throw hostile(`the absolute name ${shown(name)}`);
  if (name.includes('\0')) throw hostile(`a zero byte in the name ${shown(name)}`);
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw hostile(`the name ${shown(name)} leads out of the root`);
  if (name.length > 4096 || parts.some((part) => part.length > 255))
    throw invalid(`the name ${shown(name)} is too long`);
  return parts;
}

/** The tree of one layer, after later entries have overridden earlier ones. */
export class LayerTree {
  readonly root: Directory = emptyDirectory();

  /** The directory at a path; those that are missing are made, without an entry. */
  directory(parts: readonly string[]): Directory {
    let here = this.root;
    for (const [depth, part] of parts.entries()) {
      let next = here.children.get(part);
      if (next === undefined) {
        next = emptyDirectory();
        here.children.set(part, next);
      }
      if (!isDirectory(next)) {
        const at = shown(parts.slice(0, depth + 1).join('/'));
        if ('entry' in next && next.entry.kind === 'symlink')
          throw hostile(`an entry below the symbolic link ${at}`);
        throw invalid(`an entry below ${at}, which is no directory`);
      }
      here = next;
    }
    return here;
  }

  find(parts: readonly string[]): Node | undefined {
    let here: Node | undefined = this.root;
    for (const part of parts) {
      if (here !== undefined && 'entry' in here && here.entry?.kind === 'symlink') {
        throw hostile(`a hard link through the symbolic link above ${shown(parts.join('/'))}`);
      }
      here = isDirectory(here) ? here.children.get(part) : undefined;
    }
    return here;
  }

  addDirectory(parts: readonly string[], entry: TarEntry): void {
    const name = parts.at(-1);
    if (name === undefined) {
      this.root.entry = entry;
      return;
    }
    const parent = this.directory(parts.slice(0, -1));
    const there = parent.children.get(name);
    if (isDirectory(there)) there.entry = entry;
    else parent.children.set(name, { ...emptyDirectory(), entry });
  }

  addLeaf(parts: readonly string[], node: Leaf | PendingLink): void {
    const name = parts.at(-1);
    if (name === undefined) throw hostile('an entry takes the place of the root directory');
    this.directory(parts.slice(0, -1)).children.set(name, node);
  }

  addLink(parts: readonly string[], target: readonly string[]): void {
    const there = this.find(target);
    if (isDirectory(there)) throw invalid(`a hard link to the directory ${shown(target.join('/'))}`);
    this.addLeaf(parts, there ?? { pending: [...target] });
  }

  /** Depth first, parents before what is in them; the root is the empty path. */
  *walk(): Generator<{ path: string[]; node: Node; parent: Directory }> {
    const waiting: { path: string[]; node: Node; parent: Directory }[] = [
      { path: [], node: this.root, parent: this.root },
    ];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      yield next;
      if (!isDirectory(next.node)) continue;
      const children = [...next.node.children].map(([name, node]) => ({
        path: [...(next?.path ?? []), name],
        node,
        parent: next?.node as Directory,
      }));
      for (const child of children.reverse()) waiting.push(child);
    }
  }
}
