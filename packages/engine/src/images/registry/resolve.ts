import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { CallOptions } from '@vivarium/model';
import type { Candidate, CandidateLayer } from '../candidate.ts';
import { parseConfig } from '../config.ts';
import { digestHex } from '../digest.ts';
import type { Resolve } from '../image-store.ts';
import {
  choosePlatform,
  type Descriptor,
  isIndex,
  type Manifest,
  parseDocument,
  parseIndex,
  parseManifest,
} from '../oci.ts';
import { formatReference, type Reference } from '../reference.ts';
import { Limit } from '../shared-work.ts';
import type { ImageStoreOptions } from '../store.ts';
import { isLocal, RegistryClient } from './client.ts';
import { dockerConfigFile, findCredentials } from './credentials.ts';
import { downloadBlob, readBlob } from './download.ts';

/** One at a time for each blob: two images may name the same one, and there is one file for it. */
class BlobFiles {
  readonly #dir: string;
  readonly #turns = new Map<string, { limit: Limit; users: number }>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** The file is the caller's until it is released. */
  async take(hex: string): Promise<{ file: string; release(keep: boolean): Promise<void> }> {
    const turn = this.#turns.get(hex) ?? { limit: new Limit(1), users: 0 };
    this.#turns.set(hex, turn);
    turn.users++;
    const released = Promise.withResolvers<void>();
    const mine = Promise.withResolvers<void>();
    void turn.limit.run(() => {
      mine.resolve();
      return released.promise;
    });
    await mine.promise;
    const file = path.join(this.#dir, `${hex}.partial`);
    const release = async (keep: boolean): Promise<void> => {
      if (!keep) await rm(file, { force: true });
      if (--turn.users === 0) this.#turns.delete(hex);
      released.resolve();
    };
    return { file, release };
  }
}

function layerOf(
  client: RegistryClient,
  descriptor: Descriptor,
  diffId: string,
  blobs: BlobFiles,
): CandidateLayer {
  return {
    digest: descriptor.digest,
    diffId,
    size: descriptor.size,
    async fetch(options: CallOptions) {
      const { file, release } = await blobs.take(digestHex(descriptor.digest));
      try {
        await downloadBlob(client, descriptor, file, options);
      } catch (error) {
        await release(true); // The download knows which files to keep.
        throw error;
      }
      return { source: { diffId, open: () => readBlob(file) }, release };
    },
  };
}

async function manifestFor(
  client: RegistryClient,
  reference: Reference,
  signal?: AbortSignal,
): Promise<{ data: Buffer; manifest: Manifest }> {
  const data = await client.manifest(reference.digest ?? reference.tag ?? 'latest', signal);
  const document = parseDocument(data, 'manifest');
  if (!isIndex(document)) return { data, manifest: parseManifest(document) };
  const chosen = choosePlatform(parseIndex(document), formatReference(reference));
  const inner = await client.manifest(chosen.digest, signal);
  return { data: inner, manifest: parseManifest(parseDocument(inner, 'manifest')) };
}

/** Finds images in the registries their references name. Docker Hub is `docker.io`. */
export function registryResolver(options: ImageStoreOptions): Resolve {
  const blobs = new BlobFiles(path.join(path.resolve(options.dir), 'blobs'));
  return async (reference, { signal, insecure }): Promise<Candidate> => {
    const { registry } = reference;
    const file = options.dockerConfig ?? dockerConfigFile();
    const client = new RegistryClient(reference, {
      plain: isLocal(registry) || insecure === true || (options.insecureRegistries ?? []).includes(registry),
      findCredentials: () => findCredentials(registry, file, signal),
    });
    const { data, manifest } = await manifestFor(client, reference, signal);
    const config = await client.document(manifest.config, 'configuration', signal);
    const { diffIds } = parseConfig(config, manifest.layers.length);
    const layers = manifest.layers.map((layer, at) => layerOf(client, layer, diffIds[at] ?? '', blobs));
    return { references: [formatReference(reference)], manifest: data, config, layers };
  };
}
