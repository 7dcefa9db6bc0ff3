import type { TarEntry } from '../tar/entry.ts';
import { readTar } from '../tar/reader.ts';
import { tarEnd, tarHeader } from '../tar/writer.ts';
import { isDirectory, isPending, type LayerTree, type Leaf } from './tree.ts';

/** mtime fields of squashfs: unsigned, 32 bits. */
const maximumTime = 0xffffffff;

/** Attributes of a directory that no layer describes. */
const plainDirectory: Omit<TarEntry, 'name' | 'xattrs'> = {
  kind: 'directory',
  linkName: '',
  mode: 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
  major: 0,
  minor: 0,
};

/** Content of a file that another layer holds, for hard links across layers. */
export interface ForeignFile {
  size: number;
  open(): AsyncIterable<Buffer>;
}

export interface RewriteSink {
  write(bytes: Buffer): Promise<void>;
}

function header(entry: TarEntry, path: string, linkName = entry.linkName): Buffer {
  const mtime = Math.min(Math.max(entry.mtime, 0), maximumTime);
  return tarHeader({ ...entry, name: path, linkName, mtime });
}

async function writeFile(
  sink: RewriteSink,
  entry: TarEntry,
  path: string,
  content: AsyncIterable<Buffer>,
): Promise<void> {
  await sink.write(header(entry, path));
  for await (const chunk of content) await sink.write(chunk);
  const rest = entry.size % 512;
  if (rest > 0) await sink.write(Buffer.alloc(512 - rest));
}

/**
 * Writes a layer as the tar that tar2sqfs makes into what overlayfs expects: directories first, whiteouts as 0:0 devices,
 * opaque directories by attribute, every name once, hard links last.
 */
export async function rewriteLayer(
  tree: LayerTree,
  tar: AsyncIterable<Uint8Array>,
  foreign: ReadonlyMap<Leaf, ForeignFile>,
  sink: RewriteSink,
): Promise<void> {
  const files = new Map<number, { leaf: Leaf; path: string }>();
  const others = new Map<Leaf, string>();
  const links: { path: string; target: string; leaf: Leaf }[] = [];
  const firstNames = new Map<Leaf, string>();
  for (const { path, node } of tree.walk()) {
    const name = path.length === 0 ? '.' : path.join('/');
    if (isDirectory(node)) {
      const entry: TarEntry = { ...plainDirectory, name, ...node.entry, xattrs: new Map(node.entry?.xattrs) };
      if (node.opaque) entry.xattrs.set('trusted.overlay.opaque', 'y');
      await sink.write(header(entry, name));
    } else if (!isPending(node)) {
      const first = firstNames.get(node);
      if (first !== undefined) links.push({ path: name, target: first, leaf: node });
      else if (node.entry.kind === 'file' && node.index >= 0)
        files.set(node.index, { leaf: node, path: name });
      else others.set(node, name);
      firstNames.set(node, first ?? name);
    }
  }
  let index = 0;
  for await (const { content } of readTar(tar)) {
    const file = files.get(index++);
    if (file) await writeFile(sink, file.leaf.entry, file.path, content);
  }
  for (const [leaf, path] of others) {
    const content = foreign.get(leaf);
    if (content) await writeFile(sink, { ...leaf.entry, size: content.size }, path, content.open());
    else await sink.write(header(leaf.entry, path));
  }
  for (const { path, target, leaf } of links) {
    await sink.write(header({ ...leaf.entry, kind: 'link', size: 0, xattrs: new Map() }, path, target));
  }
  await sink.write(tarEnd);
}
