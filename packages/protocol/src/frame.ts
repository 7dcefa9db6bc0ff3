import { Buffer } from 'node:buffer';
import { crc32 } from 'node:zlib';

/** Bytes `VIV1`, read as a little-endian u32. */
export const magic = 0x31564956;
export const protocolVersion = 1;
export const headerBytes = 28;
/** The most one frame carries, in bytes. */
export const maxPayloadBytes = 65_536;
/** The header's check covers the bytes before it. */
export const checkOffset = 24;

/** Frame types, by the names of docs/protocol.md. */
export const FrameType = {
  hello: 0x01,
  welcome: 0x02,
  request: 0x10,
  response: 0x11,
  event: 0x12,
  data: 0x20,
  eof: 0x21,
  credit: 0x22,
  reset: 0x23,
  ping: 0x30,
  pong: 0x31,
} as const;

export type FrameTypeCode = (typeof FrameType)[keyof typeof FrameType];

/** Channels of one stream. A copy and a tunnel have only `stdin`. */
export const Channel = { stdin: 0, stdout: 1, stderr: 2 } as const;
export type ChannelCode = (typeof Channel)[keyof typeof Channel];

export interface FrameHeader {
  /** A {@link FrameType}; a decoder passes unknown ones on, a connection ignores them. */
  readonly type: number;
  /** The channel in the low byte for DATA, EOF and CREDIT; else 0. */
  readonly flags: number;
  /** 64 bits, chosen by the host for one conversation. */
  readonly epoch: bigint;
  /** 0: the connection itself. */
  readonly stream: number;
}

export interface Frame extends FrameHeader {
  /** A view of the bytes it came in where possible: copy it to keep it beyond the handler. */
  readonly payload: Buffer;
}

const empty = Buffer.alloc(0);

/** The 28 bytes before a payload of that length. */
export function encodeHeader(header: FrameHeader, payloadBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes);
  writeHeader(bytes, header, payloadBytes);
  return bytes;
}

/** The whole frame in one buffer; copies the payload, so it is for small ones. See {@link encodeFrameParts}. */
export function encodeFrame(header: FrameHeader, payload: Uint8Array = empty): Buffer {
  const bytes = Buffer.allocUnsafe(headerBytes + payload.byteLength);
  writeHeader(bytes, header, payload.byteLength);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** Payloads up to this size are copied behind their header: one small write beats a gathered one. */
const copyBelowBytes = 8_192;

/** The frame as the buffers to write one after the other; a large payload is passed on, not copied. */
export function encodeFrameParts(header: FrameHeader, payload: Uint8Array = empty): readonly Uint8Array[] {
  if (payload.byteLength <= copyBelowBytes) return [encodeFrame(header, payload)];
  return [encodeHeader(header, payload.byteLength), payload];
}

function writeHeader(bytes: Buffer, header: FrameHeader, payloadBytes: number): void {
  if (payloadBytes > maxPayloadBytes) {
    throw new RangeError(`a payload has at most ${maxPayloadBytes} bytes, not ${payloadBytes}`);
  }
  bytes.writeUInt32LE(magic, 0);
  bytes[4] = protocolVersion;
  bytes[5] = header.type;
  bytes.writeUInt16LE(header.flags, 6);
  bytes.writeBigUInt64LE(header.epoch, 8);
  bytes.writeUInt32LE(header.stream, 16);
  bytes.writeUInt32LE(payloadBytes, 20);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, checkOffset)), checkOffset);
}
