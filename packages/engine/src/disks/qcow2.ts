import { type FileHandle, open } from 'node:fs/promises';
import { VivError } from '@vivarium/model';

/** What of a qcow2 file is needed to follow and to lengthen a chain of them. */
export interface Qcow2Header {
  /** Size the guest sees. */
  bytes: number;
  backing?: {
    /** As it is written: relative to the file's own directory. */
    name: string;
    /** `qcow2`, `raw`; undefined where the file does not say. */
    format?: string;
  };
}

const magic = 0x51_46_49_fb;
const backingFormat = 0xe2_79_2a_ca;
const clusterBits = 16;
const cluster = 1 << clusterBits;
/** A version 3 header with the field of the compression type. */
const headerLength = 112;
/** Header, extensions and the backing file's name (at most 1023 bytes) are found in here, whoever made the file. */
const headRoom = 4096;
/** Byte offsets of header fields. */
const at = {
  version: 4,
  backingOffset: 8,
  backingLength: 16,
  clusterBits: 20,
  bytes: 24,
  l1Size: 36,
  l1Offset: 40,
  refcountOffset: 48,
  refcountClusters: 56,
  refcountOrder: 96,
  headerLength: 100,
} as const;

/** @throws VivError `internal` for what is no qcow2 file; Node's own error where it can't be read. */
export async function readQcow2Header(file: string): Promise<Qcow2Header> {
  await using handle = await open(file, 'r');
  return parse(file, await readHead(handle));
}

/**
 * Whether nothing has been written to a qcow2 file: its table of tables (L1) is all holes. QEMU writes that at once; of a VMM that has
 * stopped and flushed it is the whole truth.
 */
export async function isEmptyQcow2(file: string): Promise<boolean> {
  await using handle = await open(file, 'r');
  const bytes = await readHead(handle);
  parse(file, bytes);
  const table = Buffer.alloc(8 * bytes.readUInt32BE(at.l1Size));
  const { bytesRead } = await handle.read(table, 0, table.length, Number(bytes.readBigUInt64BE(at.l1Offset)));
  return bytesRead === table.length && table.every((byte) => byte === 0);
}

/**
 * Writes an empty overlay, as `qemu-img create` does in ten times the time: header, one refcount block and an L1 table of
 * holes. Clusters of 64 KiB, refcounts kept at every write.
 *
 * @param file Must not exist.
 * @param bytes Size the guest sees, whole sectors; may be more than the backing file has.
 * @param durable False: it may be lost with the host's power, together with whoever names it.
 */
export async function writeEmptyQcow2(
  file: string,
  options: { bytes: number; backing: { name: string; format: 'qcow2' | 'raw' }; durable: boolean },
): Promise<void> {
  const { bytes, backing, durable } = options;
  const entries = Math.ceil(bytes / (cluster * (cluster / 8)));
  const l1Clusters = Math.ceil((entries * 8) / cluster);
  const [table, block, l1] = [cluster, 2 * cluster, 3 * cluster];
  const refcountTable = Buffer.alloc(8);
  refcountTable.writeBigUInt64BE(BigInt(block));
  const refcounts = Buffer.alloc(2 * (3 + l1Clusters));
  for (let index = 0; index < 3 + l1Clusters; index++) refcounts.writeUInt16BE(1, 2 * index);
  await using handle = await open(file, 'wx', 0o600);
  await handle.truncate(l1 + l1Clusters * cluster);
  await handle.write(head({ bytes, backing, entries, l1, table }), 0, undefined, 0);
  await handle.write(refcountTable, 0, undefined, table);
  await handle.write(refcounts, 0, undefined, block);
  if (durable) await handle.datasync();
}

/**
 * Gives a file another name for the same backing file. The new name goes where nothing is, and then one write of twelve
 * bytes points to it: whoever opens the file in between, or after a kill, finds the old name or the new one. A VMM that
 * has it open knows its backing file already.
 */
export async function renameBacking(file: string, name: string): Promise<void> {
  await using handle = await open(file, 'r+');
  const bytes = await readHead(handle);
  const offset = align(
    Number(bytes.readBigUInt64BE(at.backingOffset)) + bytes.readUInt32BE(at.backingLength),
  );
  const text = Buffer.from(name);
  if (offset + text.length > headRoom) throw noDisk(file, 'its header has no room');
  await handle.write(text, 0, undefined, offset);
  await handle.datasync();
  const pointer = Buffer.alloc(12);
  pointer.writeBigUInt64BE(BigInt(offset));
  pointer.writeUInt32BE(text.length, 8);
  await handle.write(pointer, 0, undefined, at.backingOffset);
  await handle.datasync();
}

function head(of: {
  bytes: number;
  backing: { name: string; format: string };
  entries: number;
  l1: number;
  table: number;
}): Buffer {
  const name = Buffer.from(of.backing.name);
  const format = Buffer.from(of.backing.format);
  const nameOffset = headerLength + 8 + align(format.length) + 8;
  const bytes = Buffer.alloc(nameOffset + name.length);
  bytes.writeUInt32BE(magic);
  bytes.writeUInt32BE(3, at.version);
  bytes.writeBigUInt64BE(BigInt(nameOffset), at.backingOffset);
  bytes.writeUInt32BE(name.length, at.backingLength);
  bytes.writeUInt32BE(clusterBits, at.clusterBits);
  bytes.writeBigUInt64BE(BigInt(of.bytes), at.bytes);
  bytes.writeUInt32BE(of.entries, at.l1Size);
  bytes.writeBigUInt64BE(BigInt(of.l1), at.l1Offset);
  bytes.writeBigUInt64BE(BigInt(of.table), at.refcountOffset);
  bytes.writeUInt32BE(1, at.refcountClusters);
  bytes.writeUInt32BE(4, at.refcountOrder); // 2^4 bits each
  bytes.writeUInt32BE(headerLength, at.headerLength);
  bytes.writeUInt32BE(backingFormat, headerLength);
  bytes.writeUInt32BE(format.length, headerLength + 4);
  format.copy(bytes, headerLength + 8);
  name.copy(bytes, nameOffset); // the eight zeros before it end the extensions
  return bytes;
}

async function readHead(handle: FileHandle): Promise<Buffer> {
  const bytes = Buffer.alloc(headRoom);
  await handle.read(bytes, 0, headRoom, 0); // a shorter file leaves zeros, which are no header
  return bytes;
}

function parse(file: string, bytes: Buffer): Qcow2Header {
  const version = bytes.readUInt32BE(at.version);
  if (bytes.readUInt32BE() !== magic || (version !== 2 && version !== 3))
    throw noDisk(file, 'it has no qcow2 header');
  const size = bytes.readBigUInt64BE(at.bytes);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw noDisk(file, 'its size is no size');
  const offset = Number(bytes.readBigUInt64BE(at.backingOffset));
  if (offset === 0) return { bytes: Number(size) };
  const length = bytes.readUInt32BE(at.backingLength);
  if (length === 0 || length > 1023 || offset + length > headRoom)
    throw noDisk(file, 'its backing file has no name');
  const end = version === 2 ? 72 : bytes.readUInt32BE(at.headerLength);
  return {
    bytes: Number(size),
    backing: {
      name: bytes.toString('utf8', offset, offset + length),
      format: extension(bytes, backingFormat, end, offset)?.toString('utf8'),
    },
  };
}

/** Extensions follow the header: type, length, data padded to eight bytes; type 0 ends them. */
function extension(bytes: Buffer, wanted: number, from: number, end: number): Buffer | undefined {
  for (let offset = from; offset + 8 <= end; ) {
    const type = bytes.readUInt32BE(offset);
    const length = bytes.readUInt32BE(offset + 4);
    if (type === 0 || offset + 8 + length > end) return undefined;
    if (type === wanted) return bytes.subarray(offset + 8, offset + 8 + length);
    offset += 8 + align(length);
  }
  return undefined;
}

const align = (bytes: number): number => Math.ceil(bytes / 8) * 8;

function noDisk(file: string, why: string): VivError {
  return new VivError('internal', `${file} is no qcow2 disk: ${why}`);
}
