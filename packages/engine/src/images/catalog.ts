import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { VivError } from '@vivarium/model';
import { type ParsedConfig, parseConfig } from './config.ts';
import { type Digest, digestHex } from './digest.ts';
import { readIfThere, replaceFile } from './durable.ts';
import type { StoredImage } from './store.ts';

/** What an image's directory says of it, in `image.json`. */
export interface ImageRecord {
  format: 1;
  digest: Digest;
  /** RFC 3339. */
  importedAt: string;
  /** Base first. `digest` is the blob's, `key` the file's. */
  layers: { digest: Digest; key: string; sizeBytes: number }[];
  /** First layer on the disk: those before it are hidden by an opaque root. */
  firstLayer: number;
}

interface CatalogFile {
  format: 1;
  references: Record<string, Digest>;
  images: Digest[];
  tags?: Record<Digest, Record<string, string>>;
}

export interface CatalogImage {
  record: ImageRecord;
  parsed: ParsedConfig;
}

export const imageFiles = { record: 'image.json', manifest: 'manifest.json', config: 'config.json' } as const;

/**
 * Which images there are and what they are called. Answers from memory; `index.json` is the truth on disk and is replaced
 * as a whole, so that a crash leaves the old or the new.
 */
export class Catalog {
  readonly #dir: string;
  #images = new Map<Digest, CatalogImage>();
  #references = new Map<string, Digest>();
  #tags = new Map<Digest, Record<string, string>>();

  /** @param dir `<data directory>/images`. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  imageDir(digest: Digest): string {
    return path.join(this.#dir, 'manifests', digestHex(digest));
  }

  async #readImage(digest: Digest): Promise<CatalogImage | undefined> {
    const dir = this.imageDir(digest);
    const record = await readIfThere(path.join(dir, imageFiles.record));
    const config = await readIfThere(path.join(dir, imageFiles.config));
    if (!record || !config) return undefined;
    try {
      const layers = JSON.parse(config.toString('utf8')).rootfs?.diff_ids?.length ?? 0;
      return {
        record: JSON.parse(record.toString('utf8')) as ImageRecord,
        parsed: parseConfig(config, layers),
      };
    } catch {
      return undefined; // Damaged on disk: as good as lost, and it can be pulled again.
    }
  }

  async #readIndex(): Promise<CatalogFile> {
    const name = path.join(this.#dir, 'index.json');
    await rm(`${name}.new`, { force: true });
    const data = await readIfThere(name);
    if (!data) return { format: 1, references: {}, images: [] };
    let file: CatalogFile;
    try {
      file = JSON.parse(data.toString('utf8')) as CatalogFile;
    } catch (cause) {
      throw new VivError('internal', `${name} is damaged`, {
        hint: 'Restore it from a backup, or remove it: then the images have to be pulled again.',
        cause,
      });
    }
    if (file.format === 1) return file;
    throw new VivError('internal', `${name} was written by a newer Vivarium`, { hint: 'Update Vivarium.' });
  }

  /** Reads the index and removes image directories that are not in it. An image that lost its directory is dropped. */
  async load(): Promise<void> {
    const file = await this.#readIndex();
    const images = new Map<Digest, CatalogImage>();
    for (const digest of file.images) {
      const image = await this.#readImage(digest);
      if (image) images.set(digest, image);
    }
    this.#images = images;
    this.#references = new Map(Object.entries(file.references).filter(([, digest]) => images.has(digest)));
    const tags = Object.entries(file.tags ?? {}) as [Digest, Record<string, string>][];
    this.#tags = new Map(tags.filter(([digest]) => images.has(digest)));
    const known = new Set([...images.keys()].map((digest) => digestHex(digest)));
    const manifests = path.join(this.#dir, 'manifests');
    for (const name of await readdir(manifests)) {
      if (!known.has(name)) await rm(path.join(manifests, name), { recursive: true, force: true });
    }
  }

  /** Changes what is on disk first, and memory only when that worked. */
  async update(
    change: (
      images: Map<Digest, CatalogImage>,
      references: Map<string, Digest>,
      tags: Map<Digest, Record<string, string>>,
    ) => void,
  ): Promise<void> {
    const images = new Map(this.#images);
    const references = new Map(this.#references);
    const tags = new Map(this.#tags);
    change(images, references, tags);
    for (const digest of tags.keys()) if (!images.has(digest)) tags.delete(digest);
    const file: CatalogFile = {
      format: 1,
      references: Object.fromEntries([...references].sort()),
      images: [...images.keys()],
      ...(tags.size === 0 ? {} : { tags: Object.fromEntries(tags) }),
    };
    await replaceFile(path.join(this.#dir, 'index.json'), `${JSON.stringify(file, undefined, 2)}\n`);
    this.#images = images;
    this.#references = references;
    this.#tags = tags;
  }

  /** None at all where there are none in it. */
  setTags(digest: Digest, own: Record<string, string>): Promise<void> {
    return this.update((_images, _references, tags) => {
      if (Object.keys(own).length === 0) tags.delete(digest);
      else tags.set(digest, { ...own });
    });
  }

  image(digest: Digest): CatalogImage | undefined {
    return this.#images.get(digest);
  }

  digestOf(reference: string): Digest | undefined {
    return this.#references.get(reference);
  }

  digests(): Digest[] {
    return [...this.#images.keys()];
  }

  referencesOf(digest: Digest): string[] {
    return [...this.#references].filter(([, of]) => of === digest).map(([reference]) => reference);
  }

  /** Keys of all layers that some image has. */
  layerKeys(): Set<string> {
    return new Set(
      [...this.#images.values()].flatMap(({ record }) => record.layers.map((layer) => layer.key)),
    );
  }

  stored(digest: Digest): StoredImage | undefined {
    const image = this.#images.get(digest);
    if (!image) return undefined;
    const { record, parsed } = image;
    const tags = this.#tags.get(digest);
    return {
      digest,
      references: this.referencesOf(digest),
      config: structuredClone(parsed.config),
      architecture: parsed.architecture,
      layers: record.layers.map((layer) => ({ digest: layer.digest, sizeBytes: layer.sizeBytes })),
      sizeBytes: record.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0),
      ...(parsed.createdAt === undefined ? {} : { createdAt: parsed.createdAt }),
      ...(tags === undefined ? {} : { tags: { ...tags } }),
      importedAt: record.importedAt,
    };
  }
}
