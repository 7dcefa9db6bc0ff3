import { type About, type EventLog, noteEvent } from '../store/events.ts';
import type { ImageStore, StoredImage } from './store.ts';

const about = (image: StoredImage, name = image.references[0]): About => ({
  kind: 'image',
  id: image.digest,
  name: name ?? image.digest,
});

/** An image store whose changes are events, whoever makes them. */
export function notedImages(store: ImageStore, events: EventLog): ImageStore {
  const note = (image: About, type: string, data: Record<string, unknown> = {}) =>
    noteEvent(events, image, type, data);
  return {
    recover: () => store.recover(),
    list: () => store.list(),
    find: (reference) => store.find(reference),
    disk: (digest) => store.disk(digest),
    async pull(reference, options) {
      const image = await store.pull(reference, options);
      note(about(image), 'pulled', { reference });
      return image;
    },
    async ensure(reference, policy, options) {
      const before = store.find(reference)?.digest;
      const image = await store.ensure(reference, policy, options);
      if (image.digest !== before) note(about(image), 'pulled', { reference });
      return image;
    },
    async import(path, options) {
      const images = await store.import(path, options);
      for (const image of images) note(about(image), 'imported', { path });
      return images;
    },
    async tag(reference, newReference) {
      const image = await store.tag(reference, newReference);
      note(about(image, newReference), 'tagged', { reference });
      return image;
    },
    async label(reference, tags) {
      const image = await store.label(reference, tags);
      note(about(image), 'labelled', { tags });
      return image;
    },
    async remove(reference, inUse) {
      const removed = await store.remove(reference, inUse);
      const { digest, untagged, deleted, freedBytes } = removed;
      const data = { untagged, deleted, freedBytes };
      note({ kind: 'image', id: digest, name: reference }, deleted ? 'removed' : 'untagged', data);
      return removed;
    },
  };
}
