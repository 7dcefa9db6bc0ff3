import { extract, type Header, pack } from 'tar-stream';
import { type FileNode, makeNode, Refusal } from './file-tree.ts';

/** What `copy.in` did. */
export interface Unpacked {
  bytes: number;
  entries: number;
}

/** Unpacks a tar stream below a directory of a tree. */
export class Unpacker {
  readonly done: Promise<Unpacked>;
  readonly #into: FileNode;
  readonly #owner: { uid: number; gid: number } | undefined;
  /** Called with the name of each entry, and whether it was there before. */
  readonly #placed: (name: string, before: boolean) => void;
  readonly #extract = extract();
  #bytes = 0;
  #entries = 0;

  constructor(
    into: FileNode,
    owner?: { uid: number; gid: number },
    placed: (name: string, before: boolean) => void = () => undefined,
  ) {
    this.#placed = placed;
    this.#into = into;
    this.#owner = owner;
    this.done = this.#run();
    this.done.catch(() => this.#extract.destroy());
  }

  /** `taken` is called once the bytes have been unpacked. */
  write(data: Buffer, taken: () => void): void {
    if (this.#extract.write(data)) taken();
    else this.#extract.once('drain', taken);
  }

  end(): void {
    this.#extract.end(null);
  }

  destroy(): void {
    this.#extract.destroy();
  }

  async #run(): Promise<Unpacked> {
    try {
      for await (const entry of this.#extract) {
        const chunks: Buffer[] = [];
        for await (const chunk of entry) chunks.push(chunk as Buffer);
        this.#place(entry.header, Buffer.concat(chunks));
        this.#bytes += entry.header.size;
        this.#entries += 1;
      }
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal('archive_invalid', error instanceof Error ? error.message : String(error));
    }
    return { bytes: this.#bytes, entries: this.#entries };
  }

  #place(header: Header, data: Buffer): void {
    const names = header.name.split('/').filter((part) => part !== '' && part !== '.');
    const last = names.pop();
    if (header.name.startsWith('/') || names.includes('..') || last === '..') throw hostile(header.name);
    const node = this.#nodeFor(header, data);
    if (last === undefined) return;
    const parent = this.#parent(names, header.name);
    const before = parent.children.get(last);
    if (node.kind === 'directory' && before?.kind === 'directory') {
      before.mode = node.mode;
      before.mtimeNanos = node.mtimeNanos;
    } else parent.children.set(last, node);
    this.#placed([...names, last].join('/'), before !== undefined);
  }

  #nodeFor(header: Header, data: Buffer): FileNode {
    if (header.type === 'link')
      return this.#parent((header.linkname ?? '').split('/').filter(Boolean), header.name, true);
    const kind = header.type === 'directory' || header.type === 'symlink' ? header.type : 'file';
    return makeNode(kind, (header.mode ?? 0o644) & 0o7777, {
      uid: this.#owner?.uid ?? header.uid ?? 0,
      gid: this.#owner?.gid ?? header.gid ?? 0,
      mtimeNanos: BigInt(header.mtime?.getTime() ?? 0) * 1_000_000n,
      data,
      link: header.linkname ?? '',
    });
  }

  #parent(names: readonly string[], entry: string, existing = false): FileNode {
    let node = this.#into;
    for (const name of names) {
      if (name === '..') throw hostile(entry);
      let child = node.children.get(name);
      if (child?.kind === 'symlink') throw hostile(entry);
      if (child === undefined) {
        if (existing) throw new Refusal('archive_invalid', `${entry}: links to what is not there`);
        child = makeNode('directory', 0o755);
        node.children.set(name, child);
      }
      node = child;
    }
    return node;
  }
}

const hostile = (name: string) =>
  new Refusal('archive_hostile', `${name}: would be written outside its destination`);

/** Packs a node and all below it; names start with `name`. */
export function packTree(node: FileNode, name: string): AsyncIterable<Buffer> {
  const tar = pack();
  const seen = new Map<FileNode, string>();
  const add = async (each: FileNode, path: string): Promise<void> => {
    const first = seen.get(each);
    const header = {
      name: path,
      mode: each.mode,
      uid: each.uid,
      gid: each.gid,
      mtime: new Date(Number(each.mtimeNanos / 1_000_000n)),
      type: first === undefined ? each.kind : ('link' as const),
      linkname: first ?? each.link,
    };
    if (each.kind === 'file') seen.set(each, path);
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: Error | null) => (error ? reject(error) : resolve());
      if (header.type === 'file') tar.entry(header, each.data, finish);
      else {
        tar.entry(header, finish);
      }
    });
    for (const [child, below] of each.children) await add(below, `${path}/${child}`);
  };
  add(node, name).then(
    () => tar.finalize(),
    (error) => tar.destroy(error),
  );
  return tar as AsyncIterable<Buffer>;
}
