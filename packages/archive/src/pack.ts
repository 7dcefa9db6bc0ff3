import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { encodeHeader, endOfArchive, padding, type TarHeader } from './header.ts';

export interface PackOptions {
  signal?: AbortSignal;
  /** Follow a symbolic link at the root; links below it stay links. Default false. */
  followLinks?: boolean;
  /** Called with the bytes of content so far. */
  onBytes?: (bytes: number) => void;
}

/** What a walk carries along: the first name of every file with more than one, and how far it is. */
interface Walk {
  readonly links: Map<string, string>;
  readonly options: PackOptions;
  bytes: number;
}

const chunkBytes = 256 * 1024;

/**
 * A file or tree of this host as a tar stream, its root under the name `name` (`.` for the bare contents). Modes,
 * owners, times, symbolic and hard links are kept; sockets, FIFOs and devices are left out, as `docker cp` does.
 *
 * @throws VivError `path_not_found`; `conflict` where a file changes its size while it is read.
 */
export async function* packTree(
  hostPath: string,
  name: string,
  options: PackOptions = {},
): AsyncGenerator<Uint8Array> {
  yield* entry(hostPath, name, { links: new Map(), options, bytes: 0 }, options.followLinks === true);
  yield endOfArchive;
}

/** One file, from memory, as a whole tar stream. */
export async function* packFile(
  header: Omit<TarHeader, 'kind' | 'size'>,
  data: Uint8Array,
): AsyncGenerator<Uint8Array> {
  yield encodeHeader({ ...header, kind: 'file', size: data.byteLength });
  yield data;
  yield padding(data.byteLength);
  yield endOfArchive;
}

async function* entry(
  hostPath: string,
  name: string,
  walk: Walk,
  follow: boolean,
): AsyncGenerator<Uint8Array> {
  walk.options.signal?.throwIfAborted();
  const stats = await (follow ? stat : lstat)(hostPath).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(hostPath, cause);
  });
  const header = {
    name,
    size: 0,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    mtimeMs: stats.mtimeMs,
  };
  if (stats.isSymbolicLink()) {
    yield encodeHeader({ ...header, kind: 'symlink', linkName: await readlink(hostPath) });
  } else if (stats.isDirectory()) {
    yield encodeHeader({ ...header, kind: 'directory', name: `${name}/` });
    const children = await readdir(hostPath).catch((cause: NodeJS.ErrnoException) => {
      throw unreadable(hostPath, cause);
    });
    for (const child of children.sort())
      yield* entry(path.join(hostPath, child), `${name}/${child}`, walk, false);
  } else if (stats.isFile()) {
    const inode = `${stats.dev}:${stats.ino}`;
    const first = stats.nlink > 1 ? walk.links.get(inode) : undefined;
    if (first !== undefined) yield encodeHeader({ ...header, kind: 'hardlink', linkName: first });
    else {
      walk.links.set(inode, name);
      yield* content(hostPath, header, walk);
    }
  }
}

async function* content(
  hostPath: string,
  header: Omit<TarHeader, 'kind'>,
  walk: Walk,
): AsyncGenerator<Uint8Array> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const file = await open(hostPath, flags).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(hostPath, cause);
  });
  try {
    const stats: Stats = await file.stat();
    yield encodeHeader({ ...header, kind: 'file', size: stats.size });
    let left = stats.size;
    while (left > 0) {
      walk.options.signal?.throwIfAborted();
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(chunkBytes, left)));
      if (bytesRead === 0) {
        throw new VivError('conflict', `${hostPath} became shorter while it was read`, {
          hint: 'Copy it again.',
        });
      }
      left -= bytesRead;
      walk.bytes += bytesRead;
      walk.options.onBytes?.(walk.bytes);
      yield buffer.subarray(0, bytesRead);
    }
    yield padding(stats.size);
  } finally {
    await file.close();
  }
}

function unreadable(hostPath: string, cause: NodeJS.ErrnoException): VivError {
  if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') {
    return new VivError('path_not_found', `${hostPath}: no such file or directory on this machine`, {
      cause,
    });
  }
  return new VivError('invalid_request', `${hostPath} cannot be read: ${cause.message}`, { cause });
}
