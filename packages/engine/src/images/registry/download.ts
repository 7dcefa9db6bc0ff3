import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { type CallOptions, isVivError, VivError } from '@vivarium/model';
import { Meter, shortDigest } from '../digest.ts';
import { mayStillCome } from '../lasting.ts';
import type { Descriptor } from '../oci.ts';
import type { RegistryClient } from './client.ts';
import { isReset, unreachable } from './http.ts';

/** Connections that broke without having brought a byte, one after the other, before it is given up. */
const fruitlessAttempts = 4;
/** All connections of one blob. */
const maximumAttempts = 50;
const idleMs = 60_000;
const progressMs = 100;

/** Tells how far a layer is, not more often than a person can see. */
function reporter(
  descriptor: Descriptor,
  { onProgress }: CallOptions,
): (received: number, done: boolean) => void {
  let last = 0;
  return (receivedBytes, done) => {
    const now = performance.now();
    if (!done && now - last < progressMs) return;
    last = now;
    onProgress?.({
      stage: 'layer',
      digest: descriptor.digest,
      receivedBytes,
      totalBytes: descriptor.size,
      done,
    });
  };
}

/** Chunks of a body; a connection that goes silent is broken. */
async function* chunksOf(body: ReadableStream<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  let timer: NodeJS.Timeout | undefined;
  try {
    for (;;) {
      const silent = Promise.withResolvers<never>();
      timer = setTimeout(
        () => silent.reject(Object.assign(new Error('Silent connection'), { code: 'ECONNRESET' })),
        idleMs,
      );
      const next = await Promise.race([reader.read(), silent.promise]);
      clearTimeout(timer);
      signal?.throwIfAborted();
      if (next.done) return;
      yield next.value;
    }
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => undefined); // It may be broken already, which is why we are here.
  }
}

class BlobDownload {
  readonly #client: RegistryClient;
  readonly #descriptor: Descriptor;
  readonly #handle: FileHandle;
  readonly #report: (received: number, done: boolean) => void;
  readonly #signal: AbortSignal | undefined;
  #meter = new Meter();

  constructor(client: RegistryClient, descriptor: Descriptor, handle: FileHandle, options: CallOptions) {
    this.#client = client;
    this.#descriptor = descriptor;
    this.#handle = handle;
    this.#report = reporter(descriptor, options);
    this.#signal = options.signal;
  }

  async #restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#meter = new Meter();
  }

  /** Counts what an earlier process has fetched. */
  async #takeUp(): Promise<boolean> {
    const { size } = await this.#handle.stat();
    if (size > this.#descriptor.size) await this.#restart();
    else if (size > 0) {
      for await (const chunk of this.#handle.createReadStream({ autoClose: false, start: 0 })) {
        this.#meter.update(chunk as Buffer);
        this.#signal?.throwIfAborted();
      }
    }
    return this.#meter.bytes > 0;
  }

  /** One connection. False where it broke off. */
  async #connection(): Promise<boolean> {
    const { digest, size } = this.#descriptor;
    const response = await this.#client.blob(digest, this.#meter.bytes, this.#signal);
    const start = Number(
      /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? Number.NaN,
    );
    if (response.status === 416 || (response.status === 206 && start !== this.#meter.bytes)) {
      await response.body?.cancel();
      await this.#restart();
      return false;
    }
    if (response.status === 200 && this.#meter.bytes > 0) await this.#restart();
    if (!response.body) return this.#meter.bytes === size;
    try {
      for await (const chunk of chunksOf(response.body, this.#signal)) {
        if (this.#meter.bytes + chunk.byteLength > size) {
          throw new VivError(
            'image_invalid',
            `Layer ${shortDigest(digest)} is longer than the ${size} bytes it should have`,
          );
        }
        await this.#write(chunk);
        this.#report(this.#meter.bytes, false);
      }
    } catch (error) {
      if (this.#signal?.aborted || isVivError(error)) throw error;
      if (isReset(error) || error instanceof TypeError) return false;
      throw unreachable(new URL(response.url), error);
    }
    return this.#meter.bytes === size;
  }

  async #write(chunk: Uint8Array): Promise<void> {
    try {
      await this.#handle.write(chunk, 0, chunk.byteLength, this.#meter.bytes);
    } catch (error) {
      throw VivError.from(error);
    }
    this.#meter.update(chunk);
  }

  async #fetchAll(): Promise<void> {
    let fruitless = 0;
    for (let attempt = 0; this.#meter.bytes < this.#descriptor.size; attempt++) {
      const before = this.#meter.bytes;
      if (await this.#connection()) return;
      fruitless = this.#meter.bytes > before ? 0 : fruitless + 1;
      if (fruitless >= fruitlessAttempts || attempt >= maximumAttempts) {
        const { digest, size } = this.#descriptor;
        throw new VivError(
          'image_invalid',
          `Layer ${shortDigest(digest)} is cut short: ${this.#meter.bytes} of ${size} bytes came`,
          {
            hint: 'The registry holds a damaged layer, or the connection to it keeps breaking.',
          },
        );
      }
    }
  }

  async run(): Promise<void> {
    let takenUp = await this.#takeUp();
    for (;;) {
      await this.#fetchAll();
      const actual = this.#meter.digest();
      if (actual === this.#descriptor.digest) break;
      // What an earlier process left may have been the wrong part; once more, all of it.
      if (!takenUp) {
        throw new VivError(
          'image_invalid',
          `Layer ${shortDigest(this.#descriptor.digest)} came with the digest ${actual}`,
          {
            hint: 'The registry holds a damaged layer: push the image again.',
          },
        );
      }
      takenUp = false;
      await this.#restart();
    }
    this.#report(this.#descriptor.size, true);
  }
}

/**
 * Fetches a blob into a file, going on from what is there already, and verifies it.
 *
 * @throws VivError `cancelled`, `registry_unreachable`, `registry_denied`, after which the file is there to go on with;
 * `image_invalid`, `image_not_found`, `disk_full`, after which it is gone.
 */
export async function downloadBlob(
  client: RegistryClient,
  descriptor: Descriptor,
  file: string,
  options: CallOptions,
): Promise<void> {
  try {
    await using handle = await open(file, 'a+', 0o600).then(async (created) => {
      await created.close();
      return open(file, 'r+');
    });
    await new BlobDownload(client, descriptor, handle, options).run();
  } catch (error) {
    const translated = VivError.from(options.signal?.aborted ? options.signal.reason : error);
    if (!mayStillCome(translated)) await rm(file, { force: true });
    throw translated;
  }
}

export function readBlob(file: string): AsyncIterable<Uint8Array> {
  return createReadStream(file, { highWaterMark: 256 * 1024 });
}
