import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { type CallOptions, type ProgressListener, VivError } from '@vivarium/model';
import { savedCandidates } from './archive/docker-save.ts';
import { openArchive } from './archive/files.ts';
import { layoutCandidates } from './archive/oci-layout.ts';
import type { Candidate } from './candidate.ts';
import { Catalog } from './catalog.ts';
import { type Digest, shortDigest } from './digest.ts';
import { diskFiles } from './disk/layer-disk.ts';
import { type IntakeRoom, takeIn } from './intake.ts';
import { LayerCache } from './layers/cache.ts';
import { findDigest, isName } from './lookup.ts';
import {
  digestPrefix,
  formatReference,
  normalizeReference,
  parseReference,
  type Reference,
} from './reference.ts';
import { Limit, SharedWork } from './shared-work.ts';
import type { ImageStore, ImageStoreOptions, StoredImage } from './store.ts';

/** Half-fetched blobs are kept for so long, to go on with. */
const partialLifetimeMs = 7 * 24 * 3600 * 1000;

/** Fetches what an image consists of; layers are fetched later, as they are asked for. */
export type Resolve = (
  reference: Reference,
  options: CallOptions & { insecure?: boolean },
) => Promise<Candidate>;

/** {@link ImageStore} on plain files; see docs/images.md for the layout. */
export class FileImageStore implements ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #resolve: Resolve;
  readonly #catalog: Catalog;
  readonly #cache: LayerCache;
  readonly #room: IntakeRoom;
  readonly #pulls = new SharedWork<Digest>();
  readonly #dirs: { layers: string; manifests: string; blobs: string; temporary: string };

  constructor(options: ImageStoreOptions, resolve: Resolve) {
    this.#options = options;
    this.#resolve = resolve;
    const dir = path.resolve(options.dir);
    this.#dirs = {
      layers: path.join(dir, 'layers'),
      manifests: path.join(dir, 'manifests'),
      blobs: path.join(dir, 'blobs'),
      temporary: path.join(dir, 'tmp'),
    };
    this.#catalog = new Catalog(dir);
    this.#cache = new LayerCache(this.#dirs.layers, this.#dirs.temporary);
    const oneByOne = new Limit(1);
    this.#room = {
      catalog: this.#catalog,
      cache: this.#cache,
      temporary: this.#dirs.temporary,
      exclusive: (change) => oneByOne.run(change),
    };
  }

  async recover(): Promise<void> {
    await rm(this.#dirs.temporary, { recursive: true, force: true });
    for (const dir of Object.values(this.#dirs)) await mkdir(dir, { recursive: true });
    await this.#catalog.load();
    await this.#cache.retain(this.#catalog.layerKeys());
    for (const name of await readdir(this.#dirs.blobs)) {
      const file = path.join(this.#dirs.blobs, name);
      if ((await stat(file)).mtimeMs < Date.now() - partialLifetimeMs)
        await rm(file, { recursive: true, force: true });
    }
  }

  list(): StoredImage[] {
    return this.#catalog.digests().flatMap((digest) => this.#catalog.stored(digest) ?? []);
  }

  find(reference: string): StoredImage | undefined {
    const digest = findDigest(this.#catalog, reference);
    return digest === undefined ? undefined : this.#catalog.stored(digest);
  }

  #stored(digest: Digest): StoredImage {
    const image = this.#catalog.stored(digest);
    if (!image)
      throw new VivError('image_not_found', `The image ${shortDigest(digest)} has just been removed`);
    return image;
  }

  #require(reference: string): Digest {
    const digest = findDigest(this.#catalog, reference);
    if (digest !== undefined) return digest;
    throw new VivError('image_not_found', `There is no image ${reference} here`, {
      hint: 'See `viv image ls`, or pull it.',
    });
  }

  #progress(options: CallOptions): ProgressListener {
    return (progress) => {
      this.#options.onProgress?.(progress);
      options.onProgress?.(progress);
    };
  }

  async pull(text: string, options: CallOptions & { insecure?: boolean } = {}): Promise<StoredImage> {
    const reference = parseReference(text);
    const name = formatReference(reference);
    const onProgress = this.#progress(options);
    const digest = await this.#pulls
      .run(
        `${options.insecure ? 'insecure ' : ''}${name}`,
        { ...options, onProgress },
        async (signal, tell) => {
          tell({ stage: 'resolving', reference: name });
          const builtin = this.#options.builtin[name];
          if (builtin) return this.#takeBuiltin(name, builtin.path, { signal, onProgress: tell });
          const candidate = await this.#resolve(reference, {
            signal,
            onProgress: tell,
            insecure: options.insecure,
          });
          return takeIn({ ...candidate, references: [name] }, this.#room, { signal, onProgress: tell });
        },
      )
      .catch((error) => {
        throw VivError.from(error);
      });
    return this.#stored(digest);
  }

  async ensure(
    reference: string,
    policy: 'missing' | 'always' | 'never',
    options: CallOptions = {},
  ): Promise<StoredImage> {
    const there = policy === 'always' ? undefined : this.find(reference);
    if (there) return there;
    if (policy === 'never' || digestPrefix(reference)?.length === 71) {
      throw new VivError('image_not_found', `There is no image ${reference} here`, {
        hint:
          policy === 'never'
            ? 'The pull policy is `never`: pull it first.'
            : 'A digest alone names no registry.',
      });
    }
    return this.pull(reference, options);
  }

  async #candidates<T>(
    file: string,
    options: CallOptions,
    use: (candidates: Candidate[]) => Promise<T>,
  ): Promise<T> {
    await using files = await openArchive(file, this.#dirs.temporary, options.signal);
    if (files.has('index.json')) return use(await layoutCandidates(files));
    if (files.has('manifest.json')) return use(await savedCandidates(files));
    throw new VivError('archive_invalid', `${file} is neither an OCI layout nor a \`docker save\` file`, {
      hint: 'Make one with `docker save`, `podman save` or `skopeo copy`.',
    });
  }

  async #takeBuiltin(name: string, file: string, options: CallOptions): Promise<Digest> {
    return this.#candidates(file, options, async ([candidate, ...others]) => {
      if (!candidate || others.length > 0)
        throw new VivError('archive_invalid', `${file} does not hold exactly one image`);
      return takeIn({ ...candidate, references: [name] }, this.#room, options);
    });
  }

  async import(file: string, options: CallOptions & { reference?: string } = {}): Promise<StoredImage[]> {
    const name = options.reference === undefined ? undefined : normalizeReference(options.reference);
    const call = { ...options, onProgress: this.#progress(options) };
    try {
      return await this.#candidates(path.resolve(file), call, async (candidates) => {
        const unnamed = candidates.filter((candidate) => candidate.references.length === 0);
        const receivers = candidates.length === 1 ? candidates : unnamed;
        if (name !== undefined && receivers.length !== 1) {
          throw new VivError(
            'invalid_request',
            `${file} holds ${candidates.length} images: one name does not do`,
          );
        }
        if (name !== undefined) receivers[0]?.references.push(name);
        const digests: Digest[] = [];
        for (const candidate of candidates) digests.push(await takeIn(candidate, this.#room, call));
        return [...new Set(digests)].map((digest) => this.#stored(digest));
      });
    } catch (error) {
      throw VivError.from(error);
    }
  }

  async tag(reference: string, newReference: string): Promise<StoredImage> {
    const name = normalizeReference(newReference);
    if (parseReference(newReference).digest !== undefined) {
      throw new VivError('invalid_reference', 'A new name cannot have a digest: the image has its own');
    }
    return this.#room.exclusive(async () => {
      const digest = this.#require(reference);
      await this.#catalog.update((_, references) => references.set(name, digest));
      return this.#stored(digest);
    });
  }

  async label(digest: string, tags: Record<string, string>): Promise<StoredImage> {
    return this.#room.exclusive(async () => {
      const of = this.#require(digest);
      await this.#catalog.setTags(of, tags);
      return this.#stored(of);
    });
  }

  async remove(
    reference: string,
    inUse: (digest: string) => string[],
  ): Promise<{ digest: string; untagged: string[]; deleted: boolean; freedBytes: number }> {
    return this.#room.exclusive(async () => {
      const digest = this.#require(reference);
      const names = this.#catalog.referencesOf(digest);
      const named = names.filter((name) => isName(name, reference));
      const untagged = named.length > 0 ? named : names; // A digest means all its names.
      if (untagged.length < names.length) {
        await this.#catalog.update((_, references) => {
          for (const name of untagged) references.delete(name);
        });
        return { digest, untagged, deleted: false, freedBytes: 0 };
      }
      const holders = inUse(digest);
      if (holders.length > 0) {
        throw new VivError(
          'conflict',
          `The image ${reference} is used by ${holders.slice(0, 5).join(', ')}`,
          {
            hint: 'Remove the instances first.',
            details: { usedBy: holders },
          },
        );
      }
      return { digest, untagged: names, deleted: true, freedBytes: await this.#delete(digest) };
    });
  }

  /** The catalog first: after a crash {@link recover} removes what nothing names. */
  async #delete(digest: Digest): Promise<number> {
    const layers = this.#catalog.image(digest)?.record.layers ?? [];
    await this.#catalog.update((images, references) => {
      images.delete(digest);
      for (const [name, of] of references) if (of === digest) references.delete(name);
    });
    await rm(this.#catalog.imageDir(digest), { recursive: true, force: true });
    const kept = this.#catalog.layerKeys();
    let freed = 0;
    for (const key of new Set(layers.map((layer) => layer.key))) {
      if (!kept.has(key)) freed += await this.#cache.remove(key);
    }
    return freed;
  }

  async disk(
    digest: string,
  ): Promise<{ disk: { serial: string; path: string; format: 'vmdk'; readOnly: true }; layers: number }> {
    const image = this.#catalog.image(digest);
    if (!image) throw new VivError('image_not_found', `There is no image ${digest} here`);
    const visible = image.record.layers.slice(image.record.firstLayer);
    const there = await Promise.all(visible.map((layer) => this.#cache.exists(layer.key)));
    if (there.includes(false)) {
      throw new VivError(
        'image_invalid',
        `A layer of ${shortDigest(digest)} has been removed from ${this.#dirs.layers}`,
        {
          hint: 'Pull or import the image again.',
        },
      );
    }
    const file = path.join(this.#catalog.imageDir(digest), diskFiles.descriptor);
    return { disk: { serial: 'layers', path: file, format: 'vmdk', readOnly: true }, layers: visible.length };
  }
}
