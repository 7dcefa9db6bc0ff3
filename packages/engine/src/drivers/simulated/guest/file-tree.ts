import type { WireError } from '@vivarium/protocol';

/** A file, directory or link of a simulated guest. Hard links are two names of one node. */
export interface FileNode {
  kind: 'file' | 'directory' | 'symlink';
  mode: number;
  uid: number;
  gid: number;
  /** Nanoseconds since 1970. */
  mtimeNanos: bigint;
  data: Buffer;
  /** Where a symbolic link leads. */
  link: string;
  /** The root of a volume that is mounted so: nothing below can be written. */
  readOnly?: boolean;
  /** Of a directory. */
  readonly children: Map<string, FileNode>;
}

/** Thrown by the tree and the methods; becomes an error response. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly wire: WireError;

  constructor(code: string, message: string, errno?: number) {
    super(message);
    this.wire = { code, message, ...(errno === undefined ? {} : { errno }) };
  }
}

/** Hears of a change by its absolute path. */
export type TreeWatcher = (kind: string, path: string, from?: string) => void;

const maxLinks = 40;

export function makeNode(kind: FileNode['kind'], mode: number, more: Partial<FileNode> = {}): FileNode {
  const base = { uid: 0, gid: 0, mtimeNanos: 0n, data: Buffer.alloc(0), link: '' };
  return { ...base, kind, mode, children: new Map(), ...more };
}

/** The files of one root, in memory. */
export class FileTree {
  readonly root: FileNode;
  readonly #watchers = new Set<TreeWatcher>();

  constructor(root?: FileNode) {
    this.root = root ?? makeNode('directory', 0o755);
    if (root !== undefined) return;
    for (const name of ['bin', 'etc', 'home', 'proc', 'root', 'srv', 'tmp', 'usr', 'var']) {
      this.root.children.set(name, makeNode('directory', name === 'tmp' ? 0o1777 : 0o755));
    }
  }

  /** Tells of what happens to its files from now on, until the returned function is called. */
  watch(watcher: TreeWatcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** For whoever has changed something. */
  changed(kind: string, path: string, from?: string): void {
    for (const watcher of [...this.#watchers]) watcher(kind, path, from);
  }

  /** The node at an absolute path. @throws Refusal `path_not_found`, `invalid_request`. */
  resolve(path: string, follow: boolean): FileNode {
    if (!path.startsWith('/')) throw new Refusal('invalid_request', `${path}: not an absolute path`);
    return this.#walk([], path, follow, 0).node;
  }

  /** @throws Refusal `guest_error` where the path lies in a volume that is mounted read-only. */
  expectWritable(path: string): void {
    const { names } = this.#walk([], path, true, 0);
    if (names.some((_, index) => this.#at(names.slice(0, index + 1)).readOnly === true))
      throw new Refusal('guest_error', `${path}: read-only file system`, 30);
  }

  #walk(base: string[], path: string, follow: boolean, links: number): { node: FileNode; names: string[] } {
    if (links > maxLinks) throw new Refusal('path_not_found', `${path}: too many symbolic links`, 40);
    let names = path.startsWith('/') ? [] : [...base];
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    for (const [index, part] of parts.entries()) {
      if (part === '..') {
        names.pop();
        continue;
      }
      const child = this.#at(names).children.get(part);
      if (child === undefined) throw new Refusal('path_not_found', `${path}: no such file or directory`, 2);
      const last = index === parts.length - 1;
      if (child.kind === 'symlink' && (follow || !last)) {
        names = this.#walk(names, child.link, true, links + 1).names;
      } else names.push(part);
    }
    return { node: this.#at(names), names };
  }

  #at(names: readonly string[]): FileNode {
    let node = this.root;
    for (const name of names) {
      const child = node.children.get(name);
      if (child === undefined)
        throw new Refusal('path_not_found', `/${names.join('/')}: no such file or directory`, 2);
      node = child;
    }
    return node;
  }
}
