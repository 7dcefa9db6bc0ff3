import { randomBytes } from 'node:crypto';

/** What a frame is, as RFC 6455 numbers it. */
export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** A message is at most so long. Bytes; the daemon's are far shorter. */
const maxMessageBytes = 64 * 1024 * 1024;

/** A message that is complete, or a frame that says something about the connection. */
export interface Message {
  opcode: number;
  data: Buffer;
}

interface Frame extends Message {
  final: boolean;
}

/** Finds a server's messages in the bytes that come, however they are cut. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #begun: { opcode: number; parts: Buffer[]; bytes: number } | undefined;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
  }

  /** The next message; undefined until more bytes have come. @throws Error where the server breaks the protocol. */
  next(): Message | undefined {
    for (let frame = this.#frame(); frame !== undefined; frame = this.#frame()) {
      const { opcode, final, data } = frame;
      if (opcode >= opcodes.close) {
        if (!final || data.byteLength > 125) throw new Error('a control frame is cut or too long');
        return { opcode, data };
      }
      if ((opcode === opcodes.continuation) !== (this.#begun !== undefined))
        throw new Error('a message goes on that had not begun, or begins within another');
      this.#begun ??= { opcode, parts: [], bytes: 0 };
      const { parts } = this.#begun;
      parts.push(data);
      this.#begun.bytes += data.byteLength;
      if (this.#begun.bytes > maxMessageBytes) throw new Error('a message is too long');
      if (!final) continue;
      const whole = { opcode: this.#begun.opcode, data: parts.length === 1 ? data : Buffer.concat(parts) };
      this.#begun = undefined;
      return whole;
    }
    return undefined;
  }

  #frame(): Frame | undefined {
    const start = this.#peek(2);
    if (start === undefined) return undefined;
    const [first = 0, second = 0] = start;
    // No extension was agreed on, and a server does not mask.
    if (first & 0x70 || second & 0x80) throw new Error('a frame has bits that mean nothing here');
    const short = second & 0x7f;
    const headerBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
    const header = this.#peek(headerBytes);
    if (header === undefined) return undefined;
    const length =
      short < 126 ? short : short === 126 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2));
    if (length > maxMessageBytes) throw new Error('a frame is too long');
    const whole = this.#peek(headerBytes + length);
    if (whole === undefined) return undefined;
    this.#drop(headerBytes + length);
    return { final: (first & 0x80) !== 0, opcode: first & 0x0f, data: whole.subarray(headerBytes) };
  }

  /** So many bytes, which stay; undefined where they have not all come. */
  #peek(bytes: number): Buffer | undefined {
    if (this.#bytes < bytes) return undefined;
    const [first] = this.#chunks;
    if (first !== undefined && first.byteLength >= bytes) return first.subarray(0, bytes);
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole.subarray(0, bytes);
  }

  /** Lets go of bytes that were peeked at, which are in the first chunk. */
  #drop(bytes: number): void {
    const first = this.#chunks.shift()?.subarray(bytes);
    if (first !== undefined && first.byteLength > 0) this.#chunks.unshift(first);
    this.#bytes -= bytes;
  }
}

/** A whole message as a client sends it: masked, so that nothing on the way takes it for something else. */
export function frameOf(opcode: number, data: Uint8Array): Buffer {
  const length = data.byteLength;
  const headerBytes = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(headerBytes + 4 + length);
  frame[0] = 0x80 | opcode;
  frame[1] = 0x80 | (headerBytes === 2 ? length : headerBytes === 4 ? 126 : 127);
  if (headerBytes === 4) frame.writeUInt16BE(length, 2);
  if (headerBytes === 10) frame.writeBigUInt64BE(BigInt(length), 2);
  const mask = randomBytes(4);
  mask.copy(frame, headerBytes);
  const body = frame.subarray(headerBytes + 4);
  for (let at = 0; at < length; at++) body[at] = (data[at] as number) ^ (mask[at & 3] as number);
  return frame;
}
