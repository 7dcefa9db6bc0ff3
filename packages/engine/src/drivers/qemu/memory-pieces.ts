import { type FileHandle, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { fullOr } from './disk-full.ts';
import { checkRamParts, type RamPart, ramParts } from './ram.ts';
import type { Saveable } from './save.ts';

const pageBytes = 4096;
/** QEMU does nothing else while it writes one, and this much is needed on the disk beside the memory file. */
const pieceBytes = 8 * 2 ** 20;
const pieceTimeoutMs = 60_000;
const zeros = Buffer.alloc(pageBytes);

/**
 * The guest's RAM as QEMU itself tells it: into one file after another, of which what is not zeros goes into a sparse one. Its
 * vCPUs stand still. For hosts on which nobody may look into QEMU; the pause is as long as all of the RAM takes.
 *
 * @param into Is made new, and is the caller's to remove where this fails.
 * @throws VivError `disk_full`, `vmm_failed`, `not_supported`, or the signal's reason.
 */
export async function writeMemory(
  execute: Saveable['execute'],
  into: string,
  memoryBytes: number,
  signal?: AbortSignal,
): Promise<void> {
  const parts = ramParts(memoryBytes);
  await checkRamParts(execute, parts);
  await using file = await open(into, 'wx', 0o600);
  await file.truncate(memoryBytes);
  const buffer = Buffer.alloc(Math.min(pieceBytes, memoryBytes));
  for (const piece of parts.flatMap(cut)) {
    signal?.throwIfAborted();
    const bytes = await fetchPiece(execute, `${into}.piece`, piece, buffer);
    await writeData(file, bytes, piece.offset);
  }
  await file.chmod(0o400);
}

function cut({ address, offset, bytes }: RamPart): RamPart[] {
  const pieces: RamPart[] = [];
  for (let at = 0; at < bytes; at += pieceBytes) {
    pieces.push({ address: address + at, offset: offset + at, bytes: Math.min(pieceBytes, bytes - at) });
  }
  return pieces;
}

/** A new file each time: one that is written over would be forced to the disk. */
async function fetchPiece(
  execute: Saveable['execute'],
  name: string,
  { address, bytes }: RamPart,
  buffer: Buffer,
): Promise<Buffer> {
  try {
    await execute('pmemsave', { val: address, size: bytes, filename: name }, pieceTimeoutMs);
    await using file = await open(name, 'r');
    const { size } = await file.stat();
    // QEMU does not look whether the last of it arrived.
    if (size !== bytes) throw new VivError('vmm_failed', `QEMU wrote ${size} of ${bytes} bytes of memory`);
    const { bytesRead } = await file.read(buffer, 0, bytes, 0);
    if (bytesRead !== bytes) throw new VivError('vmm_failed', 'A piece of memory could not be read back');
    return buffer.subarray(0, bytes);
  } catch (error) {
    throw await fullOr(error, path.dirname(name), bytes);
  } finally {
    await rm(name, { force: true });
  }
}

/** Neighbouring pages in one write. */
async function writeData(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  const isData = (at: number) => at < bytes.length && zeros.compare(bytes, at, at + pageBytes) !== 0;
  for (let at = 0; at < bytes.length; at += pageBytes) {
    const begin = at;
    while (isData(at)) at += pageBytes;
    for (let done = begin; done < at; ) {
      const { bytesWritten } = await file.write(bytes, done, at - done, offset + done);
      done += bytesWritten;
    }
  }
}
