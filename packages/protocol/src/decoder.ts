import { Buffer } from 'node:buffer';
import { crc32 } from 'node:zlib';
import { checkOffset, type Frame, headerBytes, magic, maxPayloadBytes, protocolVersion } from './frame.ts';

const firstMagicByte = magic & 0xff;
const empty = Buffer.alloc(0);

interface PartialFrame {
  readonly type: number;
  readonly flags: number;
  readonly epoch: bigint;
  readonly stream: number;
  readonly payload: Buffer;
  /** Bytes of the payload that have come. */
  filled: number;
}

/**
 * Bytes of any chunking in, frames out. Garbage is skipped byte by byte until a header whose magic, version, length and
 * check all fit. Keeps at most one header and one payload; every byte is looked at a bounded number of times.
 */
export class FrameDecoder {
  /** Bytes skipped because they were not part of any frame. */
  discardedBytes = 0;
  readonly #head = Buffer.alloc(headerBytes);
  #headFilled = 0;
  #partial: PartialFrame | undefined;

  /** Bytes held back until their frame is complete. */
  get heldBytes(): number {
    return this.#headFilled + (this.#partial?.filled ?? 0);
  }

  /** Forgets the begun frame, as after the other end of the transport was closed. */
  reset(): void {
    this.discardedBytes += this.heldBytes;
    this.#headFilled = 0;
    this.#partial = undefined;
  }

  /**
   * Calls `sink` for each frame completed by `chunk`, in order and before it returns. Payloads are no views of the chunk, which the
   * caller may fill anew.
   */
  push(chunk: Uint8Array, sink: (frame: Frame) => void): void {
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let offset = 0;
    while (offset < bytes.length) {
      if (this.#partial !== undefined) offset = this.#fillPayload(this.#partial, bytes, offset, sink);
      else if (this.#headFilled > 0) offset = this.#fillHead(bytes, offset, sink);
      else offset = this.#scan(bytes, offset, sink);
    }
  }

  /** Nothing is held back: looks for the next header within the chunk itself. */
  #scan(bytes: Buffer, from: number, sink: (frame: Frame) => void): number {
    let at = from;
    while (bytes.length - at >= headerBytes) {
      const length = payloadLength(bytes, at);
      if (length === undefined) {
        const next = bytes.indexOf(firstMagicByte, at + 1);
        const to = next === -1 ? bytes.length : next;
        this.discardedBytes += to - at;
        at = to;
        continue;
      }
      const end = at + headerBytes + length;
      if (end > bytes.length) {
        this.#begin(bytes, at, length);
        return at + headerBytes;
      }
      sink(frameAt(bytes, at, copyOf(bytes, at + headerBytes, end)));
      return end;
    }
    this.#headFilled = bytes.copy(this.#head, 0, at);
    this.#shiftToMagic(0);
    return bytes.length;
  }

  #fillHead(bytes: Buffer, from: number, sink: (frame: Frame) => void): number {
    const copied = bytes.copy(this.#head, this.#headFilled, from);
    this.#headFilled += copied;
    this.#shiftToMagic(0);
    while (this.#headFilled === headerBytes) {
      const length = payloadLength(this.#head, 0);
      if (length !== undefined) {
        this.#headFilled = 0;
        if (length > 0) this.#begin(this.#head, 0, length);
        else sink(frameAt(this.#head, 0, empty));
        break;
      }
      this.#shiftToMagic(1);
    }
    return from + copied;
  }

  /** Drops held bytes from `skip` on until what is held can be the start of a frame. */
  #shiftToMagic(skip: number): void {
    let at = skip;
    while (at < this.#headFilled && !couldStart(this.#head, at, this.#headFilled)) at += 1;
    if (at === 0) return;
    this.#head.copyWithin(0, at, this.#headFilled);
    this.#headFilled -= at;
    this.discardedBytes += at;
  }

  #begin(bytes: Buffer, at: number, length: number): void {
    // Not from the shared pool: a reader may keep the payload for long.
    const payload = Buffer.allocUnsafeSlow(length);
    this.#partial = { ...headerAt(bytes, at), payload, filled: 0 };
  }

  #fillPayload(partial: PartialFrame, bytes: Buffer, from: number, sink: (frame: Frame) => void): number {
    const copied = bytes.copy(partial.payload, partial.filled, from);
    partial.filled += copied;
    if (partial.filled === partial.payload.length) {
      this.#partial = undefined;
      const { type, flags, epoch, stream, payload } = partial;
      sink({ type, flags, epoch, stream, payload });
    }
    return from + copied;
  }
}

/** Payloads below this come from the pool that small buffers share. Bytes. */
const smallBytes = 4096;

function copyOf(bytes: Buffer, from: number, to: number): Buffer {
  if (from === to) return empty;
  const copy = to - from < smallBytes ? Buffer.allocUnsafe(to - from) : Buffer.allocUnsafeSlow(to - from);
  bytes.copy(copy, 0, from, to);
  return copy;
}

/** The payload's length where a valid header starts at `at`, which has 28 bytes behind it. */
function payloadLength(bytes: Buffer, at: number): number | undefined {
  if (bytes[at] !== firstMagicByte || bytes.readUInt32LE(at) !== magic) return undefined;
  if (bytes[at + 4] !== protocolVersion) return undefined;
  const length = bytes.readUInt32LE(at + 20);
  if (length > maxPayloadBytes) return undefined;
  const check = bytes.readUInt32LE(at + checkOffset);
  return crc32(bytes.subarray(at, at + checkOffset)) === check ? length : undefined;
}

function couldStart(bytes: Buffer, at: number, end: number): boolean {
  for (let i = 0; i < 4 && at + i < end; i += 1) {
    if (bytes[at + i] !== ((magic >>> (8 * i)) & 0xff)) return false;
  }
  return true;
}

function headerAt(bytes: Buffer, at: number) {
  return {
    type: bytes.readUInt8(at + 5),
    flags: bytes.readUInt16LE(at + 6),
    epoch: bytes.readBigUInt64LE(at + 8),
    stream: bytes.readUInt32LE(at + 16),
  };
}

function frameAt(bytes: Buffer, at: number, payload: Buffer): Frame {
  return { ...headerAt(bytes, at), payload };
}
