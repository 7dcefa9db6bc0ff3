import { randomUUID } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { formatSize, VivError } from '@vivarium/model';
import { baseDisk } from './base.ts';
import { inode, readChain } from './chain.ts';
import { linkFile } from './links.ts';
import { writeEmptyQcow2 } from './qcow2.ts';
import { runTool, whereInUse } from './qemu-img.ts';

/** Below this a journal and a userland's first writes don't fit. */
export const minimumRootBytes = 64 * 1024 ** 2;
/** ext4's limit with 4 KiB blocks. */
export const maximumRootBytes = 16 * 1024 ** 4;
/** Sizes are rounded up to whole MiB: so there are few different bases. */
const grain = 1024 ** 2;

export interface RootDiskInfo {
  /** What the guest sees. */
  bytes: number;
  /** What its layers take on the host, shared or not, without the base. */
  usedBytes: number;
  /** Absolute path of the base. */
  base?: string;
}

/** @throws VivError `invalid_size`. */
export function checkRootSize(bytes: number): number {
  if (!Number.isSafeInteger(bytes) || bytes < minimumRootBytes || bytes > maximumRootBytes) {
    const range = `${formatSize(minimumRootBytes)} to ${formatSize(maximumRootBytes)}`;
    throw new VivError('invalid_size', `A root disk of ${bytes} bytes is not possible`, {
      hint: `Choose ${range}.`,
    });
  }
  return Math.min(Math.ceil(bytes / grain) * grain, maximumRootBytes);
}

/**
 * Makes the writable disk of an instance: a qcow2 overlay over an empty ext4 file system of that size, which is made the
 * first time. Milliseconds, whatever the size. The base gets a further name beside the overlay (`root.base.raw`), so a
 * directory with a disk stands by itself, wherever it is moved.
 *
 * @param options.path Where the overlay goes; must not exist.
 * @param options.bases Directory of the shared bases, on the same file system as a rule; across two a base is copied.
 * @param options.bytes Size the guest sees; rounded up to whole MiB.
 * @throws VivError `invalid_size`, `disk_full`, `conflict` where the file exists.
 */
export async function createRootDisk(options: {
  path: string;
  bases: string;
  bytes: number;
  signal?: AbortSignal;
}): Promise<RootDiskInfo> {
  const bytes = checkRootSize(options.bytes);
  const file = path.resolve(options.path);
  const exists = await stat(file).then(
    () => true,
    () => false,
  );
  if (exists) throw new VivError('conflict', `There is a disk at ${file} already`);
  const base = await baseDisk(path.resolve(options.bases), bytes);
  if (options.signal?.aborted) throw VivError.from(options.signal.reason);
  const temporary = `${file}.${randomUUID().slice(0, 8)}.new`;
  const backing = `${path.basename(file, '.qcow2')}.base.raw`;
  try {
    await linkBase(base, path.join(path.dirname(file), backing));
    await writeEmptyQcow2(temporary, { bytes, backing: { name: backing, format: 'raw' }, durable: false });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw VivError.from(error);
  }
  return rootDiskInfo(file);
}

/**
 * Grows a root disk that no VMM has open; the guest grows its file system at the next start.
 *
 * @throws VivError `invalid_size` for shrinking, `busy` while a VMM holds the disk.
 */
export async function growRootDisk(file: string, bytes: number, signal?: AbortSignal): Promise<RootDiskInfo> {
  const wanted = checkRootSize(bytes);
  const before = await rootDiskInfo(file);
  if (wanted < before.bytes) {
    throw new VivError(
      'invalid_size',
      `The disk has ${formatSize(before.bytes)} and cannot shrink to ${formatSize(wanted)}`,
    );
  }
  if (wanted > before.bytes) {
    try {
      await runTool('qemu-img', ['resize', '-q', '-f', 'qcow2', path.resolve(file), String(wanted)], signal);
    } catch (error) {
      throw whereInUse(error, file);
    }
  }
  return rootDiskInfo(file);
}

/** @throws VivError `path_not_found` where there is no disk. */
export async function rootDiskInfo(file: string): Promise<RootDiskInfo> {
  const absolute = path.resolve(file);
  const { layers, base } = await readChain(absolute);
  const dir = path.dirname(absolute);
  const blocks = await Promise.all(layers.map(async ({ name }) => (await stat(path.join(dir, name))).blocks));
  return {
    bytes: layers[0].header.bytes,
    usedBytes: blocks.reduce((sum, count) => sum + count, 0) * 512,
    ...(base === undefined ? {} : { base: path.resolve(dir, base) }),
  };
}

/** One of a disk that was never finished, or is no more, makes way. */
async function linkBase(base: string, to: string): Promise<void> {
  if ((await inode(to)) !== (await inode(base))) await rm(to, { force: true });
  await linkFile(base, to);
}
