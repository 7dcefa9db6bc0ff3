import { createHash } from 'node:crypto';
import type { DiskSpec } from '../drivers/driver.ts';
import type { ImageStore, StoredImage } from './store.ts';

/**
 * Images for the simulated driver, whose guests have no disks: every reference exists, runs `sh`, and weighs nothing.
 */
export class SimulatedImages implements ImageStore {
  readonly #images = new Map<string, StoredImage>();

  async recover(): Promise<void> {}

  list(): StoredImage[] {
    return [...this.#images.values()];
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

  ensure(reference: string): Promise<StoredImage> {
    return this.pull(reference);
  }

  async import(): Promise<StoredImage[]> {
    return [];
  }

  async tag(reference: string, newReference: string): Promise<StoredImage> {
    const image = await this.pull(reference);
    const tagged = { ...image, references: [...image.references, newReference] };
    for (const name of tagged.references) this.#images.set(name, tagged);
    return tagged;
  }

  async remove(reference: string): ReturnType<ImageStore['remove']> {
    const image = await this.pull(reference);
    for (const name of image.references) this.#images.delete(name);
    return { digest: image.digest, untagged: image.references, deleted: true, freedBytes: 0 };
  }

  async disk(digest: string): Promise<{ disk: DiskSpec; layers: number }> {
    return {
      disk: { serial: 'layers', path: `/simulated/${digest}`, format: 'raw', readOnly: true },
      layers: 1,
    };
  }
}
