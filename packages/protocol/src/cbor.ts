import { Buffer } from 'node:buffer';
import { decode, encode } from 'cborg';
import { maxPayloadBytes } from './frame.ts';
import { ProtocolError } from './protocol-error.ts';

/** Maps and arrays within each other. Our deepest message has five. */
export const maxDepth = 16;

/** A decoded CBOR map. Its values come from the other side: look at them through {@link Fields}. */
export type Body = Record<string, unknown>;

/** A map as CBOR; keys whose value is undefined are left out. @throws RangeError above one frame's payload. */
export function encodeBody(body: object): Buffer {
  const bytes = encode(body, { ignoreUndefinedProperties: true });
  if (bytes.byteLength > maxPayloadBytes) {
    throw new RangeError(`a message has at most ${maxPayloadBytes} bytes, not ${bytes.byteLength}`);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @throws ProtocolError `malformed` for anything that is not one definite-length CBOR map with text keys. */
export function decodeBody(bytes: Uint8Array): Body {
  checkDepth(bytes);
  let value: unknown;
  try {
    value = decode(bytes, { allowIndefinite: false, rejectDuplicateMapKeys: true });
  } catch (error) {
    throw new ProtocolError(
      'malformed',
      `not CBOR: ${error instanceof Error ? error.message : error}`,
      error,
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw new ProtocolError('malformed', 'not a CBOR map');
  }
  return value as Body;
}

/**
 * Refuses deep nesting before the recursive decoder sees it: 64 KiB of `[[[[…` would exhaust the stack. Walks the heads
 * only, so that it costs little; what else is wrong is left to the decoder.
 */
function checkDepth(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Items still expected on each level. */
  const open: number[] = [];
  let at = 0;
  while (at < bytes.byteLength) {
    const head = view.getUint8(at);
    const major = head >>> 5;
    const argument = readArgument(view, at);
    if (argument === undefined) return;
    at += argument.bytes;
    if (major === 2 || major === 3) at += argument.value;
    const children = major === 4 ? argument.value : major === 5 ? argument.value * 2 : major === 6 ? 1 : 0;
    if (children > 0) {
      if (open.length === maxDepth) throw new ProtocolError('malformed', `nested more than ${maxDepth} deep`);
      open.push(children);
      continue;
    }
    while (open.length > 0) {
      const rest = (open.at(-1) ?? 0) - 1;
      open[open.length - 1] = rest;
      if (rest > 0) break;
      open.pop();
    }
    if (open.length === 0) return;
  }
}

/** The argument of the head at `at` (RFC 8949, section 3), and the head's size; undefined where it is none. */
function readArgument(view: DataView, at: number): { value: number; bytes: number } | undefined {
  const low = view.getUint8(at) & 31;
  if (low < 24) return { value: low, bytes: 1 };
  const size = low === 24 ? 1 : low === 25 ? 2 : low === 26 ? 4 : low === 27 ? 8 : 0;
  if (size === 0 || at + 1 + size > view.byteLength) return undefined;
  if (size === 1) return { value: view.getUint8(at + 1), bytes: 2 };
  if (size === 2) return { value: view.getUint16(at + 1), bytes: 3 };
  if (size === 4) return { value: view.getUint32(at + 1), bytes: 5 };
  return { value: Number(view.getBigUint64(at + 1)), bytes: 9 };
}
