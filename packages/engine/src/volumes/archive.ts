import { pipeline, Readable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';
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
  /** How many bytes have come, and what of them was content; after each piece, and at the end. */
  onProgress?: (received: number, unpacked: number, done: boolean) => void;
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

/**
 * What a symbolic link says is data: of whoever reads the volume later, at whatever path. Nothing is written through one that leads
 * out: the guest that unpacks resolves each name below the root of the volume, and calls an entry behind such a link hostile.
 */
function checkSymlink(name: string, target: string): void {
  if (target === '' || target.includes('\0') || target.length >= longestName)
    throw new VivError('archive_invalid', `The archive has a link that is none: ${shown(name)}`);
}

/** What overlay file systems put in the place of a file that was removed. Nothing is behind it. */
const isWhiteout = ({ kind, major, minor }: TarEntry) => kind === 'character' && major === 0 && minor === 0;

function isDevice(entry: TarEntry): boolean {
  return entry.kind === 'block' || (entry.kind === 'character' && !isWhiteout(entry));
}

/** Counts what came in and what came out of it. */
class Measure {
  received = 0;
  #entries = 0;
  #content = 0;
  readonly #bounds: { bytes: number; entries: number };

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
        bounds.onProgress?.(measure.received, unpacked, false);
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
  bounds.onProgress?.(measure.received, unpacked, true);
  yield tarEnd;
}

function checkEntry(entry: TarEntry): string[] {
  const parts = partsOf(entry.name, 'an entry');
  if (isDevice(entry)) throw hostile(`${shown(entry.name)} is a device`);
  if (parts.length === 0 && entry.kind !== 'directory') throw hostile('an entry has no name');
  if (entry.kind === 'link') {
    const target = partsOf(entry.linkName, 'a hard link');
    if (target.length === 0) throw hostile(`the hard link ${shown(entry.name)} leads to the root`);
    entry.linkName = target.join('/');
  }
  if (entry.kind === 'symlink') checkSymlink(entry.name, entry.linkName);
  return parts;
}

/** The tar of a directory with the directory's own name taken off, and without what {@link checkedTar} takes for hostile. */
export async function* withoutTop(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const below = (name: string) => name.split('/').filter(Boolean).slice(1).join('/');
  for await (const { entry, content } of readTar(tar)) {
    const name = below(entry.name);
    // `lost+found` is the file system's own; a device, as a socket, is something of the guest it was made in.
    if (name === '' || name === 'lost+found' || isDevice(entry)) continue;
    const linkName = entry.kind === 'link' ? below(entry.linkName) : entry.linkName;
    yield tarHeader({ ...entry, name, linkName });
    yield* content;
    if (padding(entry.size) > 0) yield Buffer.alloc(padding(entry.size));
  }
  yield tarEnd;
}

/**
 * A gzip stream that {@link checkedTar} does not take for a bomb: what shrinks further than that, as zeros do, goes as it is in between,
 * in members of its own.
 */
export async function* gzipped(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]();
  let [given, packed] = [0, 0];
  // Half of either bound: what a compressor still holds back counts for nothing.
  const mayShrink = () => given < ratioFromBytes / 2 || given < (mostRatio / 2) * packed;
  let next = await pieces.next();
  try {
    do {
      const shrinks = mayShrink();
      const member = async function* () {
        for (; !next.done && mayShrink() === shrinks; next = await pieces.next()) {
          given += next.value.byteLength;
          yield next.value;
        }
      };
      const gzip = createGzip({
        level: shrinks ? constants.Z_DEFAULT_COMPRESSION : constants.Z_NO_COMPRESSION,
      });
      // The iteration throws what the pipeline's callback gets.
      for await (const chunk of pipeline(
        Readable.from(member(), { objectMode: false }),
        gzip,
        () => undefined,
      )) {
        packed += chunk.length;
        yield chunk;
      }
    } while (!next.done);
  } finally {
    // Whoever reads no more does not wait for what is being read; its error is nobody's then.
    void Promise.resolve(pieces.return?.()).catch(() => undefined);
  }
}
