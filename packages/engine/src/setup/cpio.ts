/** One entry of an archive. Directories and devices have no data. */
export interface CpioEntry {
  /** Without a leading slash. */
  name: string;
  /** File type and permissions, as in `st_mode`. */
  mode: number;
  data?: Buffer;
  /** Of a device node. */
  major?: number;
  minor?: number;
}

export const directory = (name: string, permissions = 0o755): CpioEntry => ({
  name,
  mode: 0o040000 | permissions,
});
export const file = (name: string, data: Buffer, permissions = 0o644): CpioEntry => ({
  name,
  mode: 0o100000 | permissions,
  data,
});
export const characterDevice = (name: string, major: number, minor: number): CpioEntry => ({
  name,
  mode: 0o020600,
  major,
  minor,
});

const align4 = (length: number): number => (length + 3) & ~3;
const hex = (value: number): string => value.toString(16).padStart(8, '0');

function encode(entry: CpioEntry, inode: number): Buffer {
  const name = Buffer.from(`${entry.name}\0`);
  const data = entry.data ?? Buffer.alloc(0);
  const links = (entry.mode & 0o170000) === 0o040000 ? 2 : 1;
  const fields = [
    [inode, entry.mode, 0, 0, links, 0, data.length],
    [0, 0, entry.major ?? 0, entry.minor ?? 0, name.length, 0],
  ].flat();
  const header = Buffer.from(`070701${fields.map(hex).join('')}`);
  const bodyAt = align4(header.length + name.length);
  const out = Buffer.alloc(align4(bodyAt + data.length));
  header.copy(out);
  name.copy(out, header.length);
  data.copy(out, bodyAt);
  return out;
}

/**
 * A cpio archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel). Owners
 * are root, times are zero and inodes are counted, so that equal entries give equal bytes.
 */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.map((entry, index) => encode(entry, index + 1));
  return Buffer.concat([...parts, encode({ name: 'TRAILER!!!', mode: 0 }, 0)]);
}
