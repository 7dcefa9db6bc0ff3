import { randomBytes } from 'node:crypto';
import { lstatSync, type Stats } from 'node:fs';
import {
  chmod,
  chown,
  lchown,
  link,
  lutimes,
  mkdir,
  open,
  realpath,
  rename,
  symlink,
  unlink,
  utimes,
} from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import type { TarHeader } from './header.ts';
import { readTar, type TarEntry } from './read.ts';

export interface ExtractOptions {
  signal?: AbortSignal;
  /** Gives an entry another name, before that is checked. */
  rename?: (name: string) => string;
  /** Keep the archive's owners. Default: when running as root. */
  owners?: boolean;
  /** Called with the bytes of content so far. */
  onBytes?: (bytes: number) => void;
}

interface Extraction {
  readonly root: string;
  readonly owners: boolean;
  readonly options: ExtractOptions;
  /** Set last, inner ones first: writing into a directory changes its time and may need its permissions. */
  readonly directories: Map<string, TarHeader>;
  bytes: number;
  entries: number;
}

/**
 * Unpacks a tar stream below an existing directory of this host. Nothing is written outside of it, whatever the archive
 * says: absolute names, `..`, and names that lead through a symbolic link are refused. A file is written beside its place
 * and moved there when it is whole, so what was there survives a broken archive.
 *
 * @throws VivError `archive_hostile`, `archive_invalid`, `conflict` (a directory where a file should go), `not_supported`
 * (devices), `path_not_found`, `disk_full`.
 */
export async function extractTree(
  tar: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  directory: string,
  options: ExtractOptions = {},
): Promise<{ bytes: number; entries: number }> {
  const root = await realpath(directory).catch((cause) => {
    throw new VivError('path_not_found', `${directory}: no such directory on this machine`, { cause });
  });
  const owners = options.owners ?? process.getuid?.() === 0;
  const work: Extraction = { root, owners, options, directories: new Map(), bytes: 0, entries: 0 };
  try {
    for await (const entry of readTar(tar)) {
      options.signal?.throwIfAborted();
      await place(entry, work);
      work.entries++;
    }
  } catch (error) {
    // The first failure is the one to tell; directories that can't be finished either add nothing to it.
    await finishDirectories(work).catch(() => undefined);
    throw VivError.from(error);
  }
  await finishDirectories(work);
  return { bytes: work.bytes, entries: work.entries };
}

async function place({ header, body }: TarEntry, work: Extraction): Promise<void> {
  const name = work.options.rename?.(header.name) ?? header.name;
  const target = inside(name, work.root);
  if (target === work.root) {
    if (header.kind !== 'directory') throw hostile(name, 'it would replace the destination itself');
    return;
  }
  await makeParents(target, work);
  if (header.kind === 'directory') return placeDirectory(target, header, work);
  const existing = statOf(target);
  if (existing?.isDirectory()) {
    throw new VivError(
      'conflict',
      `${target} is a directory; ${JSON.stringify(name)} of the archive is none`,
    );
  }
  if (header.kind === 'other') {
    throw new VivError(
      'not_supported',
      `${JSON.stringify(name)} of the archive is a device or a FIFO, which is not copied`,
    );
  }
  const fresh = `${target}.${randomBytes(6).toString('hex')}.part`;
  try {
    if (header.kind === 'file') await writeFile(fresh, header, body, work);
    else if (header.kind === 'symlink') await writeSymlink(fresh, header, work);
    else await writeHardlink(fresh, header, work);
    await rename(fresh, target);
    // rename() of two names of one file does nothing and leaves both.
    if (header.kind === 'hardlink') await unlink(fresh).catch(ignoreMissing);
  } catch (error) {
    await unlink(fresh).catch(ignoreMissing);
    throw error;
  }
}

/** Where an entry goes, by its name alone. */
function inside(name: string, root: string): string {
  if (name.includes('\0')) throw hostile(name, 'it has a NUL in its name');
  if (path.isAbsolute(name)) throw hostile(name, 'its name is absolute');
  if (name.split('/').includes('..')) throw hostile(name, 'its name climbs out with ".."');
  return path.join(root, name).replace(/(?<=.)\/$/, '');
}

/** Every directory on the way must be a real one: a link would lead the writing elsewhere. */
async function makeParents(target: string, work: Extraction): Promise<void> {
  const steps = path
    .relative(work.root, path.dirname(target))
    .split('/')
    .filter((step) => step !== '');
  let current = work.root;
  for (const step of steps) {
    current = path.join(current, step);
    const stats = statOf(current);
    if (stats === undefined) await mkdir(current, 0o755);
    else if (stats.isSymbolicLink()) {
      throw hostile(path.relative(work.root, target), `${current} on its way is a symbolic link`);
    } else if (!stats.isDirectory()) {
      throw new VivError('conflict', `${current} is no directory, and the archive has entries below it`);
    }
  }
}

async function placeDirectory(target: string, header: TarHeader, work: Extraction): Promise<void> {
  const stats = statOf(target);
  if (stats !== undefined && !stats.isDirectory()) {
    throw new VivError(
      'conflict',
      `${target} exists and is no directory; the archive has a directory of that name`,
    );
  }
  if (stats === undefined) await mkdir(target, 0o700);
  work.directories.set(target, header);
}

async function writeFile(
  fresh: string,
  header: TarHeader,
  body: AsyncIterable<Uint8Array>,
  work: Extraction,
): Promise<void> {
  const file = await open(fresh, 'wx', 0o600);
  try {
    for await (const chunk of body) {
      work.options.signal?.throwIfAborted();
      await file.writeFile(chunk);
      work.bytes += chunk.byteLength;
      work.options.onBytes?.(work.bytes);
    }
    if (work.owners) await file.chown(header.uid, header.gid);
    await file.chmod(modeOf(header, work));
    const seconds = header.mtimeMs / 1000;
    await file.utimes(seconds, seconds);
  } finally {
    await file.close();
  }
}

async function writeSymlink(fresh: string, header: TarHeader, work: Extraction): Promise<void> {
  await symlink(header.linkName ?? '', fresh);
  if (work.owners) await lchown(fresh, header.uid, header.gid);
  await lutimes(fresh, header.mtimeMs / 1000, header.mtimeMs / 1000);
}

async function writeHardlink(fresh: string, header: TarHeader, work: Extraction): Promise<void> {
  const name = work.options.rename?.(header.linkName ?? '') ?? header.linkName ?? '';
  const source = inside(name, work.root);
  await makeParents(source, work);
  const stats = statOf(source);
  if (stats === undefined) {
    throw new VivError(
      'archive_invalid',
      `${header.name} is a hard link to ${name}, which the archive has not brought`,
    );
  }
  // A link to a symbolic link is harmless (link(2) does not follow it); a directory or device is not ours to link.
  if (!stats.isFile() && !stats.isSymbolicLink())
    throw hostile(header.name, `it links to ${name}, which is no file`);
  await link(source, fresh);
}

async function finishDirectories(work: Extraction): Promise<void> {
  for (const [target, header] of [...work.directories].reverse()) {
    // Only a directory that is still one: nothing may be changed through a link that took its place.
    if (!statOf(target)?.isDirectory()) continue;
    if (work.owners) await chown(target, header.uid, header.gid);
    await chmod(target, modeOf(header, work));
    await utimes(target, header.mtimeMs / 1000, header.mtimeMs / 1000);
  }
}

/** Without its owner a setuid file would run as whoever copies: those bits are kept with the owner or not at all. */
function modeOf(header: TarHeader, work: Extraction): number {
  return header.mode & (work.owners ? 0o7777 : 0o1777);
}

function statOf(target: string): Stats | undefined {
  return lstatSync(target, { throwIfNoEntry: false });
}

function hostile(name: string, why: string): VivError {
  return new VivError('archive_hostile', `The archive's entry ${JSON.stringify(name)} is refused: ${why}`, {
    hint: 'Nothing was written outside the destination.',
  });
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
