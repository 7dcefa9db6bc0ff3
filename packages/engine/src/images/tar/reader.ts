import { VivError } from '@vivarium/model';
import { blockSize, padding, paxXattr, type TarEntry } from './entry.ts';

/** Long names and attributes are held in memory; nothing honest comes near this. */
const maximumHeaderBytes = 1024 * 1024;

const kinds: Readonly<Record<string, TarEntry['kind']>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

function damaged(why: string): VivError {
  return new VivError('archive_invalid', `Damaged tar: ${why}`);
}

const binary = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

function text(header: Buffer, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return binary(end < 0 ? field : field.subarray(0, end));
}

/** Octal text, or base 256 where the first bit is set (GNU, for what octal cannot hold). */
function number(header: Buffer, start: number, length: number): number {
  const first = header[start] ?? 0;
  let value = 0;
  if (first & 0x80) {
    const negative = first === 0xff;
    value = negative ? -1 : first & 0x7f;
    for (let i = start + 1; i < start + length; i++) value = value * 256 + (header[i] ?? 0);
  } else {
    const digits = text(header, start, length).trim();
    if (!/^[0-7]*$/.test(digits)) throw damaged(`${JSON.stringify(digits)} is not an octal number`);
    value = digits === '' ? 0 : Number.parseInt(digits, 8);
  }
  if (!Number.isSafeInteger(value)) throw damaged('a number is too large');
  return value;
}

function checkChecksum(header: Buffer): void {
  let sum = 8 * 32;
  for (let i = 0; i < blockSize; i++) if (i < 148 || i >= 156) sum += header[i] ?? 0;
  if (sum !== number(header, 148, 8)) throw damaged('a header has a wrong checksum');
}

/** `LENGTH KEY=VALUE\n`, over and over; values are bytes and may hold anything. */
function paxRecords(data: Buffer, into: Map<string, string>): void {
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(binary(data.subarray(at, space)));
    const equals = data.indexOf(0x3d, space);
    if (
      !Number.isInteger(length) ||
      length < 5 ||
      at + length > data.length ||
      equals < 0 ||
      equals >= at + length
    ) {
      throw damaged('an extended header cannot be read');
    }
    into.set(binary(data.subarray(space + 1, equals)), binary(data.subarray(equals + 1, at + length - 1)));
    at += length;
  }
}

function paxNumber(records: Map<string, string>, key: string): number | undefined {
  const value = records.get(key);
  if (value === undefined || value === '') return undefined;
  const parsed = Math.floor(Number(value));
  if (!Number.isSafeInteger(parsed)) throw damaged(`${key} is not a number`);
  return parsed;
}

/** Applies what extended headers say over what the plain header says. */
function extend(entry: TarEntry, pax: Map<string, string>): void {
  for (const key of pax.keys()) {
    if (key.startsWith('GNU.sparse.'))
      throw new VivError('not_supported', 'The tar holds a sparse file in GNU form');
    if (key.startsWith(paxXattr)) entry.xattrs.set(key.slice(paxXattr.length), pax.get(key) ?? '');
    if (key.startsWith('LIBARCHIVE.xattr.')) {
      const name = decodeURIComponent(key.slice('LIBARCHIVE.xattr.'.length));
      if (!pax.has(paxXattr + name))
        entry.xattrs.set(name, Buffer.from(pax.get(key) ?? '', 'base64').toString('latin1'));
    }
  }
  entry.name = pax.get('path') ?? entry.name;
  entry.linkName = pax.get('linkpath') ?? entry.linkName;
  entry.uid = paxNumber(pax, 'uid') ?? entry.uid;
  entry.gid = paxNumber(pax, 'gid') ?? entry.gid;
  entry.mtime = paxNumber(pax, 'mtime') ?? entry.mtime;
  entry.size = paxNumber(pax, 'size') ?? entry.size;
}

/** Takes whole pieces off a stream of chunks. */
class Pieces {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  /** Bytes taken so far. */
  offset = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At most `limit` bytes, at least one; empty at the end. */
  async some(limit: number): Promise<Buffer> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done) return this.#chunk;
      this.#chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    const piece = this.#chunk.subarray(0, limit);
    this.#chunk = this.#chunk.subarray(piece.length);
    this.offset += piece.length;
    return piece;
  }

  /** Exactly `size` bytes, or nothing at all where the stream ended. @throws where it ends in between. */
  async exactly(size: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for (let missing = size; missing > 0; ) {
      const part = await this.some(missing);
      if (part.length === 0) {
        if (missing === size) return undefined;
        throw damaged('it ends in the middle of an entry');
      }
      if (part.length === size) return part;
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts, size);
  }

  async *content(size: number): AsyncGenerator<Buffer> {
    for (let missing = size; missing > 0; ) {
      const part = await this.some(missing);
      if (part.length === 0) throw damaged('it ends in the middle of a file');
      missing -= part.length;
      yield part;
    }
  }

  async skip(size: number): Promise<void> {
    for await (const _ of this.content(size));
  }

  async drain(): Promise<void> {
    while ((await this.some(Number.POSITIVE_INFINITY)).length > 0);
  }

  async end(): Promise<void> {
    await this.#source.return?.();
  }
}

/** One entry, where its content starts in the stream, and the content: read it before asking for the next entry, or leave it. */
export interface TarItem {
  entry: TarEntry;
  offset: number;
  content: AsyncIterable<Buffer>;
}

function plainEntry(header: Buffer, kind: TarEntry['kind']): TarEntry {
  const magic = text(header, 257, 6);
  const prefix = magic === 'ustar' ? text(header, 345, 155) : '';
  const name = text(header, 0, 100);
  const device = kind === 'character' || kind === 'block';
  return {
    kind,
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: text(header, 157, 100),
    mode: number(header, 100, 8) & 0o7777,
    uid: number(header, 108, 8),
    gid: number(header, 116, 8),
    size: number(header, 124, 12),
    mtime: number(header, 136, 12),
    major: device ? number(header, 329, 8) : 0,
    minor: device ? number(header, 337, 8) : 0,
    xattrs: new Map(),
  };
}

/**
 * Reads ustar, PAX, GNU and old (v7) tars.
 *
 * @throws VivError `archive_invalid` for a damaged or truncated one, `not_supported` for sparse files and multi-volume parts.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarItem> {
  const pieces = new Pieces(source);
  const global = new Map<string, string>();
  let pax = new Map<string, string>();
  let zeroBlocks = 0;
  try {
    for (;;) {
      const header = await pieces.exactly(blockSize);
      if (header === undefined) return;
      if (header.every((byte) => byte === 0)) {
        // Two of them end the tar. What follows is not part of it, but whoever hashes the stream wants all of it.
        if (++zeroBlocks === 2) return void (await pieces.drain());
        continue;
      }
      zeroBlocks = 0;
      checkChecksum(header);
      const type = String.fromCharCode(header[156] ?? 0);
      if ('xgLK'.includes(type)) {
        const size = number(header, 124, 12);
        if (size < 0 || size > maximumHeaderBytes) throw damaged('an extended header is over 1 MiB');
        const data = (await pieces.exactly(size)) ?? Buffer.alloc(0);
        if (data.length < size) throw damaged('it ends in the middle of a header');
        await pieces.skip(padding(size));
        if (type === 'x') paxRecords(data, pax);
        else if (type === 'g') paxRecords(data, global);
        else pax.set(type === 'L' ? 'path' : 'linkpath', text(data, 0, data.length));
        continue;
      }
      const kind = kinds[type];
      if (kind === undefined)
        throw new VivError('not_supported', `The tar has an entry of type ${JSON.stringify(type)}`);
      const entry = plainEntry(header, kind);
      extend(entry, new Map([...global, ...pax]));
      pax = new Map();
      // Tars from before ustar mark directories by their name.
      if (entry.kind === 'file' && entry.name.endsWith('/')) entry.kind = 'directory';
      // A hard link with a size carries no content in practice; star's -copyhardlinks is the exception nobody uses.
      if (entry.kind !== 'file') entry.size = 0;
      if (entry.size < 0) throw damaged('an entry has a negative size');
      const start = pieces.offset;
      yield { entry, offset: start, content: pieces.content(entry.size) };
      await pieces.skip(entry.size + padding(entry.size) - (pieces.offset - start));
    }
  } finally {
    await pieces.end();
  }
}
