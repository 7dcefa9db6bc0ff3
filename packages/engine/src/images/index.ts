import { FileImageStore } from './image-store.ts';
import { registryResolver } from './registry/resolve.ts';
import type { ImageStore, ImageStoreOptions } from './store.ts';

export { formatReference, normalizeReference, parseReference, type Reference } from './reference.ts';
export type { ImageStore, ImageStoreOptions, StoredImage } from './store.ts';

/** The images of a data directory, recovered and ready. @throws VivError `disk_full`, or what the file system says. */
export async function createImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const store = new FileImageStore(options, registryResolver(options));
  await store.recover();
  return store;
}
