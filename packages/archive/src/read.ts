import { VivError } from '@vivarium/model';
import { ByteSource, truncated } from './blocks.ts';
import { blockSize, checksum, type TarHeader, type TarKind } from './header.ts';

/** An entry with its content, which must be read (or left) before the next entry is asked for. */
export interface TarEntry {
  header: TarHeader;
  body: AsyncIterable<Uint8Array>;
}

/** Headers that only carry names: more than this is an attack on memory. */
const maxMetadataBytes = 1024 * 1024;

const kinds: Readonly<Record<string, TarKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
};

/**
 * The entries of a tar stream: ustar, pax and GNU long names. Holds one chunk of it at a time.
 *
 * @throws VivError `archive_invalid` where it is damaged or cut off, `archive_hostile` for metadata without bounds.
 */
export async function* readTar(
  stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<TarEntry> {
  const source = new ByteSource(stream);
  let globals: Record<string, string> = {};
  let locals: Record<string, string> = {};
  try {
    for (;;) {
      const block = await source.exactly(blockSize);
      if (block === undefined) throw truncated(source.position);
      if (block.every((byte) => byte === 0)) {
        // What follows the end (a second empty block, a blocking factor's filling) is drained, so that the sender can end.
        while ((await source.some(blockSize * 128)) !== undefined);
        return;
      }
      const { header, type } = parseBlock(block, source.position);
      if ('xgLK'.includes(type)) {
        const text = await metadata(source, header.size);
        if (type === 'g') globals = { ...globals, ...parsePax(text) };
        else if (type === 'x') locals = { ...locals, ...parsePax(text) };
        else locals[type === 'L' ? 'path' : 'linkpath'] = untilNul(text);
        continue;
      }
      const entry = override(header, { ...globals, ...locals });
      locals = {};
      const body = new Body(source, entry.size);
      yield { header: entry, body };
      await body.drain();
    }
  } finally {
    await source.close();
  }
}

/** The content of one entry, and the filling behind it. */
class Body implements AsyncIterable<Uint8Array> {
  readonly #source: ByteSource;
  readonly #size: number;
  #left: number;

  constructor(source: ByteSource, size: number) {
    this.#source = source;
    this.#size = size;
    this.#left = size;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    while (this.#left > 0) {
      const part = await this.#source.some(this.#left);
      if (part === undefined) throw truncated(this.#source.position);
      this.#left -= part.byteLength;
      yield part;
    }
  }

  async drain(): Promise<void> {
    await this.#source.skip(this.#left + ((blockSize - (this.#size % blockSize)) % blockSize));
    this.#left = 0;
  }
}

function parseBlock(block: Uint8Array, position: number): { header: TarHeader; type: string } {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const text = (start: number, end: number) => untilNul(bytes.subarray(start, end));
  const number = (start: number, end: number) => parseNumber(bytes.subarray(start, end), position);
  if (number(148, 156) !== checksum(block)) {
    throw new VivError(
      'archive_invalid',
      `Not a tar header at byte ${position - blockSize}: its checksum is wrong`,
    );
  }
  const posix = bytes.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? text(345, 500) : '';
  const type = bytes.toString('latin1', 156, 157);
  const linkName = text(157, 257);
  const name = prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`;
  const size = number(124, 136);
  const header: TarHeader = {
    name,
    // Archives from before POSIX mark a directory by its name only.
    kind: (type === '0' || type === '\0') && name.endsWith('/') ? 'directory' : (kinds[type] ?? 'other'),
    size,
    mode: number(100, 108) & 0o7777,
    uid: number(108, 116),
    gid: number(116, 124),
    mtimeMs: number(136, 148) * 1000,
    ...(linkName === '' ? {} : { linkName }),
  };
  return { header, type };
}

/** Octal digits, or GNU's base-256 where the first bit is set. */
function parseNumber(field: Buffer, position: number): number {
  const first = field[0] ?? 0;
  let value: number;
  if (first & 0x80) {
    let wide = BigInt(first & 0x7f);
    for (const byte of field.subarray(1)) wide = (wide << 8n) | BigInt(byte);
    value = Number(first === 0xff ? BigInt.asIntN(field.length * 8 - 1, wide) : wide);
  } else {
    const digits = untilNul(field).trim();
    value = digits === '' ? 0 : /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
  }
  if (!Number.isSafeInteger(value)) {
    throw new VivError(
      'archive_invalid',
      `A tar header before byte ${position} has a field that is no number`,
    );
  }
  return value;
}

async function metadata(source: ByteSource, size: number): Promise<Buffer> {
  if (size < 0 || size > maxMetadataBytes) {
    throw new VivError(
      'archive_hostile',
      `A tar header claims ${size} bytes of names; ${maxMetadataBytes} are accepted`,
    );
  }
  const bytes = await source.exactly(size);
  if (bytes === undefined && size > 0) throw truncated(source.position);
  await source.skip((blockSize - (size % blockSize)) % blockSize);
  return Buffer.from(bytes ?? []);
}

function parsePax(text: Buffer): Record<string, string> {
  const records: Record<string, string> = {};
  for (let start = 0; start < text.length; ) {
    const space = text.indexOf(0x20, start);
    const length = space < 0 ? NaN : Number(text.toString('latin1', start, space));
    const record = text.toString('utf8', space + 1, start + length - 1);
    const equals = record.indexOf('=');
    if (
      !Number.isInteger(length) ||
      length <= space - start + 2 ||
      start + length > text.length ||
      equals < 1
    ) {
      throw new VivError('archive_invalid', 'A pax header of the archive is malformed');
    }
    records[record.slice(0, equals)] = record.slice(equals + 1);
    start += length;
  }
  return records;
}

function override(header: TarHeader, pax: Record<string, string>): TarHeader {
  const number = (key: string, fallback: number, scale = 1): number => {
    const value = pax[key] === undefined || pax[key] === '' ? fallback : Number(pax[key]) * scale;
    if (Number.isFinite(value)) return value;
    throw new VivError('archive_invalid', `A pax header of the archive has a ${key} that is no number`);
  };
  const size = header.kind === 'file' || header.kind === 'other' ? number('size', header.size) : 0;
  if (!Number.isSafeInteger(size) || size < 0)
    throw new VivError('archive_invalid', `${header.name} has a size below zero`);
  return {
    ...header,
    name: pax.path || header.name,
    size,
    uid: number('uid', header.uid),
    gid: number('gid', header.gid),
    mtimeMs: number('mtime', header.mtimeMs, pax.mtime === undefined ? 1 : 1000),
    ...(pax.linkpath ? { linkName: pax.linkpath } : {}),
  };
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}
