import { createHash } from 'node:crypto';
import { differentRequest } from '../requests/request.ts';
import type { Volume } from './volume.ts';

/** An archive on its way in: what came of it is known by its digest. */
export class Upload implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #hash = createHash('sha256');
  #begun = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    this.#begun = true;
    for await (const chunk of this.#source) {
      this.#hash.update(chunk);
      yield chunk;
    }
  }

  /** SHA-256 of all that was read, in hexadecimal digits. */
  get digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Where the volume was made for an equal request before this one: reads it all. @throws VivError `conflict` for another archive. */
  async expectOf({ record }: Volume, signal?: AbortSignal): Promise<void> {
    if (this.#begun) return;
    for await (const _ of this) signal?.throwIfAborted();
    if (this.digest !== record.archive) throw differentRequest();
  }
}
