import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Image } from '@vivarium/api';
import { imageFromWire, ndjson, type RemovedImage } from '@vivarium/api/wire';
import { type ImageInfo, type Images, type MakingOptions, Task, VivError } from '@vivarium/model';
import { longTask, readLines } from './lines.ts';
import type { Transport } from './transport.ts';

/** The image store, through the daemon. */
export class RemoteImages implements Images {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async list(): Promise<ImageInfo[]> {
    const { value } = await this.#transport.json<Image[]>('listImages');
    return value.filter((image) => image.status === 'ready').map(imageFromWire);
  }

  async get(reference: string): Promise<ImageInfo> {
    const { value } = await this.#transport.json<Image>('getImage', { params: { name: reference } });
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
    return new Task(async (onProgress) => {
      const bytes = await upload(absolute);
      const both = {
        ...options,
        onProgress: (stage: Parameters<typeof onProgress>[0]) => {
          options.onProgress?.(stage);
          onProgress(stage);
        },
      };
      return longTask(this.#transport, 'importImage', { query: { reference }, bytes }, both, fromWire);
    });
  }

  async tag(reference: string, newReference: string): Promise<ImageInfo> {
    const send = { params: { name: reference }, json: { target: newReference } };
    return imageFromWire((await this.#transport.json<Image>('tagImage', send)).value);
  }

  async remove(reference: string): ReturnType<Images['remove']> {
    const answer = await this.#transport.send('deleteImage', { params: { name: reference }, accept: ndjson });
    for await (const line of readLines(answer, this.#transport.address)) {
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
