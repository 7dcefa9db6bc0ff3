import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { formatSize, isVivError, VivError } from '@vivarium/model';
import { decompressed } from '../images/layers/decode.ts';
import { padding, type TarEntry } from '../images/tar/entry.ts';
import { readTar } from '../images/tar/reader.ts';
import { tarEnd, tarHeader } from '../images/tar/writer.ts';

/** What an archive may be at most. */
export interface ArchiveBounds {
  /** Of the volume. */
  bytes: number;
  /** Default: as many as its file system has inodes, and a million at most. */
  entries?: number;
}

const mostEntries = 1_000_000;
/** ext4 has an inode for every 16 KiB, as it is made here. */
const bytesPerInode = 16_384;
/** Beyond so many bytes of content the archive must be worth them: what is all zeros has no business in one. */
const ratioFromBytes = 64 * 1024 ** 2;
const mostRatio = 200;
const longestName = 4096;

/** Names for messages: bytes as text, cut short. */
function shown(name: string): string {
  const text = Buffer.from(name, 'latin1').toString('utf8');
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}

function hostile(why: string): VivError {
  return new VivError('archive_hostile', `The archive is hostile: ${why}`, {
    hint: 'Nothing of it was kept. Find out who made it.',
  });
}

/** @returns the parts of a name below the root. */
function partsOf(name: string, what: string): string[] {
  if (name.startsWith('/')) throw hostile(`${what} is the absolute name ${shown(name)}`);
  if (name.includes('\0')) throw hostile(`${what} has a zero byte: ${shown(name)}`);
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw hostile(`${what} leads out of the volume: ${shown(name)}`);
  if (name.length > longestName || parts.some((part) => part.length > 255))
    throw new VivError('archive_invalid', `The archive has a name that is too long: ${shown(name)}`);
  return parts;
}

/** Where a link leads is judged from where it lies, as if no other link were on the way. */
function checkSymlink(parts: readonly string[], target: string): void {
  const lead = () =>
    hostile(`the link ${shown(parts.join('/'))} leads out of the volume, to ${shown(target)}`);
  if (target.startsWith('/') || target.includes('\0')) throw lead();
  let depth = parts.length - 1;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    depth += part === '..' ? -1 : 1;
    if (depth < 0) throw lead();
  }
}

/** Counts what came in and what came out of it. */
class Measure {
  received = 0;
  #entries = 0;
  #content = 0;
  readonly #bounds: Required<ArchiveBounds>;

  constructor({ bytes, entries }: ArchiveBounds) {
    this.#bounds = { bytes, entries: entries ?? Math.min(mostEntries, Math.floor(bytes / bytesPerInode)) };
  }

  entry({ size }: TarEntry): void {
    const { bytes, entries } = this.#bounds;
    if (++this.#entries > entries)
      throw hostile(
        `it has more than ${entries} entries, and a volume of ${formatSize(bytes)} holds no more`,
      );
    this.#content += size;
    if (this.#content > bytes)
      throw new VivError(
        'payload_too_large',
        `The archive has more content than a volume of ${formatSize(bytes)} holds`,
        { hint: 'Choose a larger size.' },
      );
  }

  /** After a piece of content: what the header promised may be a lie until then. */
  unpacked(bytes: number): void {
    if (bytes > ratioFromBytes && bytes > mostRatio * this.received)
      throw hostile(`${this.received} bytes of it unpack to more than ${mostRatio} times as many`);
  }
}

/**
 * What of an archive goes on to a guest: entry by entry, each judged before a byte of it is passed on, as a plain tar.
 *
 * @throws VivError `archive_hostile`, `archive_invalid`, `payload_too_large`, while it is read.
 */
export async function* checkedTar(
  archive: AsyncIterable<Uint8Array>,
  bounds: ArchiveBounds,
): AsyncGenerator<Uint8Array> {
  const measure = new Measure(bounds);
  const count = async function* () {
    for await (const chunk of archive) {
      measure.received += chunk.byteLength;
      yield chunk;
    }
  };
  let unpacked = 0;
  let entries = 0;
  try {
    for await (const { entry, content } of readTar(decompressed(count()))) {
      entries += 1;
      measure.entry(entry);
      const parts = checkEntry(entry);
      // The root itself is the volume's own.
      if (parts.length === 0) continue;
      yield tarHeader({ ...entry, name: parts.join('/'), xattrs: new Map() });
      for await (const piece of content) {
        unpacked += piece.length;
        measure.unpacked(unpacked);
        yield piece;
      }
      if (padding(entry.size) > 0) yield Buffer.alloc(padding(entry.size));
    }
  } catch (error) {
    // Damaged compression is told as that of an image's layer.
    if (!isVivError(error, 'image_invalid', 'not_supported')) throw error;
    throw new VivError('archive_invalid', error.message, { cause: error });
  }
  if (entries === 0) throw new VivError('archive_invalid', 'The archive is empty, or none');
  yield tarEnd;
}

function checkEntry(entry: TarEntry): string[] {
  const parts = partsOf(entry.name, 'an entry');
  if (entry.kind === 'character' || entry.kind === 'block' || entry.kind === 'fifo')
    throw hostile(`${shown(entry.name)} is a device`);
  if (parts.length === 0 && entry.kind !== 'directory') throw hostile('an entry has no name');
  if (entry.kind === 'link') {
    const target = partsOf(entry.linkName, 'a hard link');
    if (target.length === 0) throw hostile(`the hard link ${shown(entry.name)} leads to the root`);
    entry.linkName = target.join('/');
  }
  if (entry.kind === 'symlink') checkSymlink(parts, entry.linkName);
  return parts;
}

/** The tar of a directory with the directory's own name taken off, as a gzip stream. */
export async function* withoutTop(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const below = (name: string) => name.split('/').filter(Boolean).slice(1).join('/');
  for await (const { entry, content } of readTar(tar)) {
    const name = below(entry.name);
    // `lost+found` is the file system's own.
    if (name === '' || name === 'lost+found') continue;
    const linkName = entry.kind === 'link' ? below(entry.linkName) : entry.linkName;
    yield tarHeader({ ...entry, name, linkName });
    yield* content;
    if (padding(entry.size) > 0) yield Buffer.alloc(padding(entry.size));
  }
  yield tarEnd;
}

export function gzipped(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  // The iteration throws what the pipeline's callback gets.
  return pipeline(Readable.from(source, { objectMode: false }), createGzip(), () => undefined);
}
