import { blockSize, paxXattr, type TarEntry } from './entry.ts';

const typeFlags: Readonly<Record<TarEntry['kind'], string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** Largest numbers of the octal fields: 7 digits, and 11. */
const maximumSmall = 0o7777777;
const maximumLarge = 0o77777777777;

function block(name: string, flag: string, entry: TarEntry, size: number): Buffer {
  const header = Buffer.alloc(blockSize);
  const octal = (value: number, digits: number, at: number) =>
    header.write(value.toString(8).padStart(digits, '0'), at, digits, 'latin1');
  const clamp = (value: number, limit: number) => Math.min(Math.max(value, 0), limit);
  header.write(name.slice(0, 100), 0, 'latin1');
  octal(entry.mode & 0o7777, 7, 100);
  octal(clamp(entry.uid, maximumSmall), 7, 108);
  octal(clamp(entry.gid, maximumSmall), 7, 116);
  octal(clamp(size, maximumLarge), 11, 124);
  octal(clamp(entry.mtime, maximumLarge), 11, 136);
  header.write(flag, 156, 'latin1');
  header.write(entry.linkName.slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  octal(entry.major, 7, 329);
  octal(entry.minor, 7, 337);
  header.fill(0x20, 148, 156);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    6,
    148,
  );
  header[154] = 0;
  return header;
}

function record(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length > length) length++;
  return Buffer.from(length + rest, 'latin1');
}

/**
 * The header of an entry, with a PAX header before it where the plain one cannot hold everything. Deterministic: the same
 * entry gives the same bytes.
 */
export function tarHeader(entry: TarEntry): Buffer {
  const name = entry.kind === 'directory' ? `${entry.name}/` : entry.name;
  const records: Buffer[] = [];
  if (name.length > 100 || /[^\x20-\x7e]/.test(name)) records.push(record('path', name));
  if (entry.linkName.length > 100 || /[^\x20-\x7e]/.test(entry.linkName))
    records.push(record('linkpath', entry.linkName));
  if (entry.uid > maximumSmall) records.push(record('uid', String(entry.uid)));
  if (entry.gid > maximumSmall) records.push(record('gid', String(entry.gid)));
  if (entry.size > maximumLarge) records.push(record('size', String(entry.size)));
  for (const key of [...entry.xattrs.keys()].sort())
    records.push(record(paxXattr + key, entry.xattrs.get(key) ?? ''));
  const plain = block(name, typeFlags[entry.kind], entry, entry.size);
  if (records.length === 0) return plain;
  const data = Buffer.concat(records);
  const extended = block('PaxHeader', 'x', { ...entry, linkName: '', major: 0, minor: 0 }, data.length);
  return Buffer.concat([
    extended,
    data,
    Buffer.alloc((blockSize - (data.length % blockSize)) % blockSize),
    plain,
  ]);
}

/** What ends a tar. */
export const tarEnd: Buffer = Buffer.alloc(2 * blockSize);
