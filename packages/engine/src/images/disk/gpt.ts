import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const sectorBytes = 512;
const entryBytes = 128;
/** The least a table may have (UEFI 2.10, 5.3). */
const minimumEntries = 128;
/** Layers begin at a multiple of the guest's page, so that every block of theirs is one of the disk's. */
const alignment = 4096 / sectorBytes;

/** "Linux filesystem data", 0FC63DAF-8483-4772-8E79-3D69D8477DE4, in the byte order of the disk. */
const linuxType = Buffer.from('af3dc60f838472478e793d69d8477de4', 'hex');

export interface Gpt {
  /** Protective MBR, header, table, padding: before the first partition. */
  head: Buffer;
  /** Table and header once more: after the last one. */
  tail: Buffer;
  /** First and last sector of each partition. */
  partitions: { first: number; last: number }[];
  totalSectors: number;
}

/** A stable identity: the same layers give the same disk. */
function guid(seed: string): Buffer {
  const bytes = createHash('sha256').update(seed).digest().subarray(0, 16);
  bytes[7] = ((bytes[7] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}

function protectiveMbr(totalSectors: number): Buffer {
  const mbr = Buffer.alloc(sectorBytes);
  mbr.writeUInt8(0, 446);
  mbr.set([0x00, 0x02, 0x00], 447); // CHS 0/0/2
  mbr.writeUInt8(0xee, 450);
  mbr.set([0xff, 0xff, 0xff], 451);
  mbr.writeUInt32LE(1, 454);
  mbr.writeUInt32LE(Math.min(totalSectors - 1, 0xffffffff), 458);
  mbr.set([0x55, 0xaa], 510);
  return mbr;
}

function table(partitions: Gpt['partitions'], entries: number, seed: string): Buffer {
  const bytes = Buffer.alloc(entries * entryBytes);
  for (const [index, { first, last }] of partitions.entries()) {
    const at = index * entryBytes;
    linuxType.copy(bytes, at);
    guid(`${seed} ${index}`).copy(bytes, at + 16);
    bytes.writeBigUInt64LE(BigInt(first), at + 32);
    bytes.writeBigUInt64LE(BigInt(last), at + 40);
    bytes.writeBigUInt64LE(1n << 60n, at + 48); // read-only
    bytes.write(`layer${index + 1}`, at + 56, 'utf16le');
  }
  return bytes;
}

interface HeaderPlace {
  here: number;
  other: number;
  table: number;
  firstUsable: number;
  lastUsable: number;
}

function header(place: HeaderPlace, entries: Buffer, seed: string): Buffer {
  const bytes = Buffer.alloc(sectorBytes);
  bytes.write('EFI PART', 0, 'latin1');
  bytes.writeUInt32LE(0x00010000, 8);
  bytes.writeUInt32LE(92, 12);
  bytes.writeBigUInt64LE(BigInt(place.here), 24);
  bytes.writeBigUInt64LE(BigInt(place.other), 32);
  bytes.writeBigUInt64LE(BigInt(place.firstUsable), 40);
  bytes.writeBigUInt64LE(BigInt(place.lastUsable), 48);
  guid(seed).copy(bytes, 56);
  bytes.writeBigUInt64LE(BigInt(place.table), 72);
  bytes.writeUInt32LE(entries.length / entryBytes, 80);
  bytes.writeUInt32LE(entryBytes, 84);
  bytes.writeUInt32LE(crc32(entries), 88);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 92)), 16);
  return bytes;
}

/**
 * A partition table around partitions of the given sizes, one after the other without gaps.
 *
 * @param sizes Bytes; multiples of 4096.
 * @param seed What the disk's and the partitions' identities are made from.
 */
export function buildGpt(sizes: readonly number[], seed: string): Gpt {
  const entries = Math.max(minimumEntries, Math.ceil(sizes.length / 4) * 4);
  const tableSectors = (entries * entryBytes) / sectorBytes;
  const firstUsable = Math.ceil((2 + tableSectors) / alignment) * alignment;
  const partitions: Gpt['partitions'] = [];
  let next = firstUsable;
  for (const size of sizes) {
    if (size <= 0 || size % 4096 !== 0)
      throw new RangeError(`A partition of ${size} bytes is not a multiple of 4096`);
    partitions.push({ first: next, last: next + size / sectorBytes - 1 });
    next += size / sectorBytes;
  }
  // Padded, so that the whole disk is a multiple of a page as well.
  const tailSectors = Math.ceil((tableSectors + 1) / alignment) * alignment;
  const totalSectors = next + tailSectors;
  const last = totalSectors - 1;
  const usable = { firstUsable, lastUsable: last - tableSectors - 1 };
  const bytes = table(partitions, entries, seed);
  const head = Buffer.alloc(firstUsable * sectorBytes);
  protectiveMbr(totalSectors).copy(head, 0);
  header({ here: 1, other: last, table: 2, ...usable }, bytes, seed).copy(head, sectorBytes);
  bytes.copy(head, 2 * sectorBytes);
  const tail = Buffer.alloc(tailSectors * sectorBytes);
  bytes.copy(tail, tail.length - sectorBytes - bytes.length);
  header({ here: last, other: 1, table: last - tableSectors, ...usable }, bytes, seed).copy(
    tail,
    tail.length - sectorBytes,
  );
  return { head, tail, partitions, totalSectors };
}
