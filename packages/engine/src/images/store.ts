import type { CallOptions, ImageInfo, ProgressListener } from '@vivarium/model';
import type { DiskSpec } from '../drivers/driver.ts';

/** An image without what only the instance manager knows. */
export type StoredImage = Omit<ImageInfo, 'usedBy'>;

/**
 * Images of one data directory. Layers are read-only squashfs files named by the digest of their *uncompressed* tar
 * (diff id), shared by every image that has them; an image is a small directory with its manifest, its configuration and
 * one disk descriptor over the layer files.
 */
export interface ImageStore {
  /** Finishes or removes what an interrupted pull or import left behind. Once, before anything else. */
  recover(): Promise<void>;
  list(): StoredImage[];
  /** By reference, digest, or unique digest prefix of at least 4 hex digits. */
  find(reference: string): StoredImage | undefined;
  /** Concurrent pulls of one reference share the work. A built-in image needs no registry. */
  pull(reference: string, options?: CallOptions & { insecure?: boolean }): Promise<StoredImage>;
  /** The stored image, or what `pull` brings, as the policy says. @throws VivError `image_not_found`. */
  ensure(
    reference: string,
    policy: 'missing' | 'always' | 'never',
    options?: CallOptions,
  ): Promise<StoredImage>;
  import(path: string, options?: CallOptions & { reference?: string }): Promise<StoredImage[]>;
  tag(reference: string, newReference: string): Promise<StoredImage>;
  /** Replaces the tags of an image that is here. */
  label(digest: string, tags: Record<string, string>): Promise<StoredImage>;
  /** `inUse` names the holders of a digest; the image is kept, and `conflict` thrown, where there are any. */
  remove(
    reference: string,
    inUse: (digest: string) => string[],
  ): Promise<{ digest: string; untagged: string[]; deleted: boolean; freedBytes: number }>;
  /** The one disk that carries all layers of the image, a partition per layer, base layer first (vda1). */
  disk(digest: string): Promise<{ disk: DiskSpec; layers: number }>;
}

export interface ImageStoreOptions {
  /** `<data directory>/images`. */
  dir: string;
  /** Images that are there without a registry: normalised reference -> OCI archive on disk. */
  builtin: Record<string, { path: string; digest: string }>;
  /** Registries (`host:port`) that may be spoken to without TLS, beside localhost. */
  insecureRegistries?: string[];
  /** Docker's credential file. Default `~/.docker/config.json`, or `$DOCKER_CONFIG/config.json`. */
  dockerConfig?: string;
  onProgress?: ProgressListener;
}
