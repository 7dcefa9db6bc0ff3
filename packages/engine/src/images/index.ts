import { FileImageStore } from './image-store.ts';
import { registryResolver } from './registry/resolve.ts';
import type { ImageStore, ImageStoreOptions } from './store.ts';

export { formatReference, normalizeReference, parseReference, type Reference } from './reference.ts';
export type { ImageStore, ImageStoreOptions, StoredImage } from './store.ts';

/**
 * The images of a data directory. Call {@link ImageStore.recover} once the directory is yours and before anything else: until
 * then the store is empty.
 */
export async function createImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  return new FileImageStore(options, registryResolver(options));
}
