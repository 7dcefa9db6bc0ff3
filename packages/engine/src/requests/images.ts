import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ImageStore, StoredImage } from '../images/store.ts';
import type { Making, MarkedCall } from './request.ts';

/**
 * Images that are fetched or imported: named by their content, so that doing it again makes no second one. `asked`: what
 * it is known by.
 */
export function imageMaking(
  store: ImageStore,
  asked: unknown,
  make: (call: MarkedCall) => Promise<StoredImage[]>,
): Making<StoredImage[]> {
  return {
    asked,
    make,
    ids: (images) => images.map(({ digest }) => digest),
    again: async (digests) => {
      const images = digests.flatMap((digest) => store.find(digest) ?? []);
      return images.length === digests.length ? images : undefined;
    },
    found: async () => undefined,
  };
}

/** What an import reads: a file by its content, since each upload has a name of its own. */
export async function sourceOf(file: string): Promise<string> {
  const found = await stat(file).catch(() => undefined); // The import says what is wrong with it.
  if (!found?.isFile()) return file;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
