import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Image } from '@vivarium/api';
import { imageFromWire, ndjson, type RemovedImage } from '@vivarium/api/wire';
import {
  type AskOptions,
  type ImageInfo,
  type Images,
  type MakingOptions,
  type Progress,
  type ProgressListener,
  Task,
  VivError,
} from '@vivarium/model';
import { withKey } from './again.ts';
import { longTask, readLines } from './lines.ts';
import { detached } from './operations.ts';
import type { Transport } from './transport.ts';

/** The image store, through the daemon. */
export class RemoteImages implements Images {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async list({ signal }: AskOptions = {}): Promise<ImageInfo[]> {
    const { value } = await this.#transport.json<Image[]>('listImages', { signal });
    return value.filter((image) => image.status === 'ready').map(imageFromWire);
  }

  async get(reference: string, { signal }: AskOptions = {}): Promise<ImageInfo> {
    const send = { params: { name: reference }, signal };
    const { value } = await this.#transport.json<Image>('getImage', send);
    if (value.status === 'ready') return imageFromWire(value);
    const failed = value.status === 'failed';
    throw new VivError(
      failed ? 'image_not_found' : 'image_not_ready',
      `${reference}: ${value.error ?? value.status}`,
    );
  }

  pull(
    reference: string,
    options: MakingOptions & { insecure?: boolean; tags?: Record<string, string> } = {},
  ): Task<ImageInfo> {
    const json = { name: reference, insecure: options.insecure, tags: options.tags };
    return longTask(this.#transport, 'createImage', { json }, options, imageFromWire);
  }

  import(source: string, options: MakingOptions & { reference?: string } = {}): Task<ImageInfo[]> {
    const { reference } = options;
    const fromWire = (images: Image[]) => images.map(imageFromWire);
    const absolute = path.resolve(source);
    if ('socket' in this.#transport.address) {
      // The daemon is on this machine and reads the file itself.
      return longTask(
        this.#transport,
        'importImage',
        { query: { path: absolute, reference } },
        options,
        fromWire,
      );
    }
    const send = async () => ({ query: { reference }, bytes: await upload(absolute) });
    const work = async (onProgress: ProgressListener) => {
      const both = {
        ...options,
        onProgress: (stage: Progress) => {
          options.onProgress?.(stage);
          onProgress(stage);
        },
      };
      return longTask(this.#transport, 'importImage', await send(), both, fromWire);
    };
    // The upload is this side's; what comes after it goes on by itself.
    return new Task(work, {
      late: true,
      detach: async () => {
        const { signal } = options;
        return withKey('importImage', await send(), options, (keyed) =>
          detached(this.#transport, 'importImage', { ...keyed, signal }),
        );
      },
    });
  }

  async tag(reference: string, newReference: string, { signal }: AskOptions = {}): Promise<ImageInfo> {
    const send = { params: { name: reference }, json: { target: newReference }, signal };
    return imageFromWire((await this.#transport.json<Image>('tagImage', send)).value);
  }

  async remove(reference: string, { signal }: AskOptions = {}): ReturnType<Images['remove']> {
    const send = { params: { name: reference }, accept: ndjson, signal };
    const answer = await this.#transport.send('deleteImage', send);
    for await (const line of readLines(answer, this.#transport.address, signal)) {
      const { result, error } = line as { result?: RemovedImage; error?: { code: string; message: string } };
      if (error !== undefined) throw VivError.fromRecord(error);
      if (result === undefined) continue;
      const { freed_bytes, ...rest } = result;
      return { ...rest, freedBytes: freed_bytes };
    }
    throw new VivError('daemon_unreachable', 'vivd went away before it had answered');
  }
}

/** An archive as it is; a layout directory as a tar stream. */
async function upload(source: string): Promise<AsyncIterable<Uint8Array>> {
  const found = await stat(source).catch((cause) => {
    throw new VivError('path_not_found', `${source}: no such file or directory on this machine`, { cause });
  });
  if (!found.isDirectory()) return createReadStream(source);
  const { packTree } = await import('@vivarium/archive');
  return packTree(source, '.');
}
