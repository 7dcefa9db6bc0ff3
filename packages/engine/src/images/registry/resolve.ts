import { VivError } from '@vivarium/model';
import type { Resolve } from '../image-store.ts';
import type { ImageStoreOptions } from '../store.ts';

export function registryResolver(_: ImageStoreOptions): Resolve {
  return async () => {
    throw new VivError('not_supported', 'Registries cannot be spoken to yet');
  };
}
