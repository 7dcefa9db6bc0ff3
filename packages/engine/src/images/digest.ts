import { createHash, type Hash } from 'node:crypto';
import { VivError } from '@vivarium/model';

/** `sha256:` + 64 hex digits. Other algorithms are refused where digests are read. */
export type Digest = string;

export function digestOf(data: string | Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** The hex digits, which name files. @throws VivError `image_invalid` for anything that is not a sha256 digest. */
export function digestHex(digest: unknown, what = 'digest'): string {
  const match = typeof digest === 'string' ? /^sha256:([0-9a-f]{64})$/.exec(digest) : null;
  if (!match?.[1]) {
    throw new VivError('image_invalid', `Not a sha256 ${what}: ${JSON.stringify(digest)?.slice(0, 100)}`);
  }
  return match[1];
}

/** For people: the first twelve hex digits. */
export function shortDigest(digest: Digest): string {
  return digest.slice(0, 'sha256:'.length + 12);
}

/** Passes bytes on while hashing and counting them. */
export class Meter {
  readonly #hash: Hash = createHash('sha256');
  bytes = 0;

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.bytes += chunk.byteLength;
  }

  /** Once only. */
  digest(): Digest {
    return `sha256:${this.#hash.digest('hex')}`;
  }

  async *through(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      this.update(chunk);
      yield chunk;
    }
  }
}

/** @throws VivError `image_invalid` where the bytes are not the ones that were promised. */
export function verifyDigest(what: string, expected: Digest, actual: Digest): void {
  if (expected === actual) return;
  throw new VivError('image_invalid', `${what} has digest ${actual}, not ${expected} as it should`, {
    hint: 'The image is damaged where it comes from: push or save it again.',
  });
}
