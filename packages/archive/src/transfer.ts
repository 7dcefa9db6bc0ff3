import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';
import { type CopyOptions, isVivError, refuseAborted, VivError, type VmFiles } from '@vivarium/model';
import { nameRoot, planCopy, sourceOf, type Target } from './copy-plan.ts';
import { extractTree } from './extract.ts';
import { packFile, packTree } from './pack.ts';
import { readTar } from './read.ts';

/** What a door has to offer so that everything of {@link VmFiles} can be put over it. */
export type FileDoor = Pick<VmFiles, 'stat' | 'putArchive' | 'getArchive'>;

/** Copies a file or tree of this machine into a guest, by the rules of {@link planCopy}. */
export async function copyIn(
  door: FileDoor,
  hostPath: string,
  guestPath: string,
  options: CopyOptions = {},
): Promise<{ bytes: number; entries: number }> {
  refuseAborted(options);
  const source = sourceOf(hostPath);
  const directory = (await hostKind(source.path, options.followLinks === true)) === 'directory';
  const target: Target = { path: guestPath, existing: await guestKind(door, guestPath, options) };
  const plan = planCopy(
    { name: source.name || path.basename(path.resolve(source.path)), directory, contents: source.contents },
    target,
  );
  return door.putArchive(plan.directory, packTree(source.path, plan.name, options), options);
}

/** Copies a file or tree of a guest to this machine, by the same rules. */
export async function copyOut(
  door: FileDoor,
  guestPath: string,
  hostPath: string,
  options: CopyOptions = {},
): Promise<{ bytes: number; entries: number }> {
  const { signal, followLinks } = options;
  const source = sourceOf(guestPath);
  const found = await door.stat(source.path, { followLinks, signal });
  const existing = await hostKind(hostPath, true).catch((error: unknown) => {
    if (isVivError(error, 'path_not_found')) return undefined;
    throw error;
  });
  const name = source.name || path.posix.basename(found.path);
  const plan = planCopy(
    { name, directory: found.kind === 'directory', contents: source.contents },
    { path: hostPath, existing },
  );
  return extractTree(door.getArchive(source.path, options), plan.directory, {
    signal,
    onBytes: options.onBytes,
    rename: (entry) => nameRoot(entry, name, plan.name),
  });
}

/** The bytes of one file. @throws VivError `conflict` where the path is no regular file. */
export async function readFile(
  door: FileDoor,
  guestPath: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<Buffer> {
  const tar = door.getArchive(guestPath, { followLinks: true, signal });
  for await (const { header, body } of readTar(tar)) {
    if (header.kind !== 'file')
      throw new VivError('conflict', `${guestPath} is a ${header.kind}, not a file`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
  throw new VivError('archive_invalid', `The guest sent nothing for ${guestPath}`);
}

/** Makes or replaces one file; its directory must exist. Mode 0644 and root's, where nothing else is said. */
export async function writeFile(
  door: FileDoor,
  guestPath: string,
  data: string | Uint8Array,
  {
    mode = 0o644,
    uid = 0,
    gid = 0,
    signal,
  }: { mode?: number; uid?: number; gid?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const { dir, base } = path.posix.parse(guestPath);
  if (base === '' || guestPath.endsWith('/'))
    throw new VivError('invalid_request', `${guestPath} names no file`);
  const tar = packFile({ name: base, mode, uid, gid, mtimeMs: Date.now() }, bytes);
  await door.putArchive(dir === '' ? '.' : dir, tar, { signal });
}

async function hostKind(hostPath: string, follow: boolean): Promise<'file' | 'directory' | 'other'> {
  try {
    const found = await (follow ? stat : lstat)(hostPath);
    return found.isDirectory() ? 'directory' : found.isFile() ? 'file' : 'other';
  } catch (cause) {
    if (!['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) throw cause;
    throw new VivError('path_not_found', `${hostPath}: no such file or directory on this machine`, { cause });
  }
}

async function guestKind(
  door: FileDoor,
  guestPath: string,
  { signal }: CopyOptions,
): Promise<Target['existing']> {
  try {
    const { kind } = await door.stat(guestPath, { followLinks: true, signal });
    return kind === 'symlink' ? 'other' : kind;
  } catch (error) {
    if (isVivError(error, 'path_not_found')) return undefined;
    throw error;
  }
}
