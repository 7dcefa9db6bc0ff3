import { VivError } from '@vivarium/model';

/** What a tar entry is. `other`: a device, a FIFO, or something newer than this reader. */
export type TarKind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';

/** One entry of a tar stream. */
export interface TarHeader {
  /** As the archive says; not checked. Directories may end in a slash. */
  name: string;
  kind: TarKind;
  /** Bytes of content that follow; 0 for all but files. */
  size: number;
  /** 0o7777 bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Milliseconds since 1970, with fractions. */
  mtimeMs: number;
  /** Of a symbolic link: where it points. Of a hard link: the entry it is. */
  linkName?: string;
}

export const blockSize = 512;

/** Two empty blocks end an archive. */
export const endOfArchive: Uint8Array = new Uint8Array(2 * blockSize);

const typeFlags: Readonly<Record<Exclude<TarKind, 'other'>, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  directory: '5',
};

/** Zeros that fill a size up to a whole block. */
export function padding(size: number): Uint8Array {
  return new Uint8Array((blockSize - (size % blockSize)) % blockSize);
}

/** The blocks that introduce an entry: a POSIX.1-2001 (pax) header where ustar's fields are too small, then ustar's. */
export function encodeHeader(header: TarHeader): Uint8Array {
  if (header.kind === 'other')
    throw new VivError('not_supported', `${header.name} is neither file, directory nor link`);
  const pax: Record<string, string> = {};
  const seconds = Math.floor(header.mtimeMs / 1000);
  const ascii = (text: string) => /^[\x20-\x7e]*$/.test(text);
  if (header.name.length > 100 || !ascii(header.name)) pax.path = header.name;
  if (header.linkName && (header.linkName.length > 100 || !ascii(header.linkName)))
    pax.linkpath = header.linkName;
  if (header.size > 0o77777777777) pax.size = String(header.size);
  if (header.uid > 0o7777777) pax.uid = String(header.uid);
  if (header.gid > 0o7777777) pax.gid = String(header.gid);
  if (header.mtimeMs % 1000 !== 0 || seconds < 0) pax.mtime = (header.mtimeMs / 1000).toFixed(6);
  const own = ustar(header, typeFlags[header.kind], Math.max(seconds, 0));
  if (Object.keys(pax).length === 0) return own;
  const records = Buffer.from(Object.entries(pax).map(paxRecord).join(''));
  const introduction = {
    ...header,
    name: 'PaxHeader',
    linkName: undefined,
    size: records.length,
    mode: 0o644,
  };
  return Buffer.concat([ustar(introduction, 'x', 0), records, padding(records.length), own]);
}

/** `<length> <key>=<value>\n`, where the length counts itself. */
function paxRecord([key, value]: [string, string]): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return `${length} ${key}=${value}\n`;
}

function ustar(header: TarHeader, type: string, seconds: number): Buffer {
  const block = Buffer.alloc(blockSize);
  const octal = (value: number, offset: number, digits: number) =>
    block.write((value % 8 ** digits).toString(8).padStart(digits, '0'), offset, 'latin1');
  block.write(header.name.slice(0, 100), 0, 100, 'latin1');
  octal(header.mode & 0o7777, 100, 7);
  octal(header.uid > 0o7777777 ? 0 : header.uid, 108, 7);
  octal(header.gid > 0o7777777 ? 0 : header.gid, 116, 7);
  octal(header.size > 0o77777777777 ? 0 : header.size, 124, 11);
  octal(seconds, 136, 11);
  block.write('        ', 148, 'latin1');
  block.write(type, 156, 'latin1');
  if (header.linkName) block.write(header.linkName.slice(0, 100), 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Sum of all bytes of a header, its own eight counted as spaces. */
export function checksum(block: Uint8Array): number {
  let sum = 8 * 32;
  for (let i = 0; i < blockSize; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  return sum;
}
