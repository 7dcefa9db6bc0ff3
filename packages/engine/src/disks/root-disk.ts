import { randomUUID } from 'node:crypto';
import { rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { formatSize, VivError } from '@vivarium/model';
import { baseDisk } from './base.ts';
import { runTool } from './qemu-img.ts';

/** Below this a journal and a userland's first writes don't fit. */
export const minimumRootBytes = 64 * 1024 ** 2;
/** ext4's limit with 4 KiB blocks. */
export const maximumRootBytes = 16 * 1024 ** 4;
/** Sizes are rounded up to whole MiB: so there are few different bases. */
const grain = 1024 ** 2;

export interface RootDiskInfo {
  /** What the guest sees. */
  bytes: number;
  /** What the overlay takes on the host, without the base it shares. */
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
 * first time. Milliseconds, whatever the size. The overlay names its base by a relative path, so a data directory moves.
 *
 * @param options.path Where the overlay goes; must not exist.
 * @param options.bases Directory of the shared bases, on the same file system as a rule.
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
  const backing = path.relative(path.dirname(file), base);
  try {
    await runTool(
      'qemu-img',
      [
        'create',
        '-q',
        '-f',
        'qcow2',
        '-o',
        'lazy_refcounts=off',
        '-F',
        'raw',
        '-b',
        backing,
        temporary,
        String(bytes),
      ],
      options.signal,
    );
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
      const locked =
        error instanceof VivError && /Failed to get "?\w*"? ?(write)? ?lock|lock/i.test(error.message);
      if (!locked) throw error;
      throw new VivError('busy', `The disk ${file} is in use by a VMM`, { cause: error });
    }
  }
  return rootDiskInfo(file);
}

/** @throws VivError `path_not_found` where there is no disk. */
export async function rootDiskInfo(file: string): Promise<RootDiskInfo> {
  const absolute = path.resolve(file);
  const blocks = await stat(absolute).then(
    (found) => found.blocks,
    (cause) => {
      throw new VivError('path_not_found', `There is no disk at ${absolute}`, { cause });
    },
  );
  // -U: reading what a running VMM has open.
  const info = JSON.parse(
    await runTool('qemu-img', ['info', '-U', '-f', 'qcow2', '--output=json', absolute]),
  ) as {
    'virtual-size': number;
    'full-backing-filename'?: string;
  };
  const base = info['full-backing-filename'];
  return {
    bytes: info['virtual-size'],
    usedBytes: blocks * 512,
    ...(base === undefined ? {} : { base: path.resolve(base) }),
  };
}
