import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { VivError } from '@vivarium/model';
import type { DiskSpec } from '../drivers/driver.ts';
import type { ImageStore, StoredImage } from './store.ts';

/**
 * Images for the simulated driver, whose guests have no disks: every reference exists, runs `sh`, and weighs nothing.
 */
export class SimulatedImages implements ImageStore {
  readonly #images = new Map<string, StoredImage>();

  async recover(): Promise<void> {}

  list(): StoredImage[] {
    return [...new Map([...this.#images.values()].map((image) => [image.digest, image])).values()];
  }

  find(reference: string): StoredImage | undefined {
    return this.#images.get(reference) ?? this.list().find(({ digest }) => digest === reference);
  }

  async pull(reference: string): Promise<StoredImage> {
    const known = this.find(reference);
    if (known !== undefined) return known;
    const image: StoredImage = {
      digest: `sha256:${createHash('sha256').update(reference).digest('hex')}`,
      references: [reference],
      config: {
        entrypoint: [],
        cmd: ['sh'],
        env: {},
        user: '',
        workingDir: '/',
        exposedPorts: [],
        labels: {},
      },
      architecture: 'amd64',
      layers: [],
      sizeBytes: 0,
      importedAt: new Date().toISOString(),
    };
    this.#images.set(reference, image);
    return image;
  }

  async ensure(reference: string, policy: 'missing' | 'always' | 'never' = 'missing'): Promise<StoredImage> {
    return policy === 'never' ? this.#known(reference) : this.pull(reference);
  }

  async import(path: string): Promise<StoredImage[]> {
    if (!existsSync(path)) throw new VivError('path_not_found', `${path}: no such file or directory`);
    throw new VivError('archive_invalid', 'Simulated images are made by their name; they are not imported');
  }

  async tag(reference: string, newReference: string): Promise<StoredImage> {
    const image = this.#known(reference);
    this.#name(image, [...image.references.filter((name) => name !== newReference), newReference]);
    return this.#known(newReference);
  }

  async label(digest: string, tags: Record<string, string>): Promise<StoredImage> {
    const { references, tags: _, ...image } = this.#known(digest);
    const labelled = { ...image, references, ...(Object.keys(tags).length === 0 ? {} : { tags }) };
    this.#name(labelled, references);
    return labelled;
  }

  async remove(reference: string, inUse: (digest: string) => string[]): ReturnType<ImageStore['remove']> {
    const image = this.#known(reference);
    const untagged = image.references.includes(reference) ? [reference] : image.references;
    const left = image.references.filter((name) => !untagged.includes(name));
    const holders = inUse(image.digest);
    if (left.length === 0 && holders.length > 0) {
      throw new VivError('conflict', `${reference} is used by ${holders.join(', ')}`);
    }
    for (const name of untagged) this.#images.delete(name);
    this.#name(image, left);
    return { digest: image.digest, untagged, deleted: left.length === 0, freedBytes: 0 };
  }

  #known(reference: string): StoredImage {
    const image = this.find(reference);
    if (image === undefined) throw new VivError('image_not_found', `No image ${reference} in the store`);
    return image;
  }

  #name(image: StoredImage, references: string[]): void {
    for (const name of references) this.#images.set(name, { ...image, references });
  }

  async disk(digest: string): Promise<{ disk: DiskSpec; layers: number }> {
    return {
      disk: { serial: 'layers', path: `/simulated/${digest}`, format: 'raw', readOnly: true },
      layers: 1,
    };
  }
}
