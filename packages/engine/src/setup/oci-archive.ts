import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { fileDigest } from './keyed.ts';

/** The parts of an OCI image configuration (image-spec, config.md) that we write. */
export interface ImageConfig {
  Cmd?: string[];
  Entrypoint?: string[];
  Env?: string[];
  WorkingDir?: string;
  User?: string;
  StopSignal?: string;
  ExposedPorts?: Record<string, object>;
  Labels?: Record<string, string>;
}

export interface OciImage {
  /** Written as `org.opencontainers.image.ref.name`. */
  reference: string;
  /** Plain tar files, base layer first. */
  layers: readonly string[];
  config: ImageConfig;
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

/** Every time in an image: equal content has to give equal digests. */
const epoch = new Date(0);

const architectures: Partial<Record<NodeJS.Architecture, string>> = { x64: 'amd64', arm64: 'arm64' };

const describe = (mediaType: string, blob: Buffer): Descriptor => ({
  mediaType,
  digest: `sha256:${createHash('sha256').update(blob).digest('hex')}`,
  size: blob.length,
});

/** Writes an image as an OCI archive (image-layout.md, as one tar). Its bytes depend on nothing but the arguments. */
export async function writeOciArchive(destination: string, image: OciImage): Promise<void> {
  const layers = await Promise.all(
    image.layers.map(async (file) => ({
      file,
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest: await fileDigest(file),
      size: (await stat(file)).size,
    })),
  );
  const architecture = architectures[process.arch] ?? process.arch;
  const config = Buffer.from(
    JSON.stringify({
      created: epoch.toISOString(),
      architecture,
      os: 'linux',
      config: image.config,
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: describe('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map(({ mediaType, digest, size }): Descriptor => ({ mediaType, digest, size })),
    }),
  );
  const manifestDescriptor = describe('application/vnd.oci.image.manifest.v1+json', manifest);
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...manifestDescriptor,
        platform: { architecture, os: 'linux' },
        annotations: { 'org.opencontainers.image.ref.name': image.reference },
      },
    ],
  };

  const archive = pack();
  const add = (name: string, body: Buffer | string): void => {
    archive.entry({ name, mtime: epoch, mode: 0o644 }, body);
  };
  const blob = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;
  const temporary = `${destination}.tmp-${process.pid}`;
  const written = pipeline(archive, createWriteStream(temporary));
  for (const name of ['blobs/', 'blobs/sha256/'])
    archive.entry({ name, type: 'directory', mtime: epoch, mode: 0o755 });
  add('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  add('index.json', JSON.stringify(index));
  add(blob(manifestDescriptor.digest), manifest);
  add(blob(describe('', config).digest), config);
  // A layer that appears twice is one blob.
  for (const layer of new Map(layers.map((entry) => [entry.digest, entry])).values()) {
    const entry = archive.entry({ name: blob(layer.digest), size: layer.size, mtime: epoch, mode: 0o644 });
    await pipeline(createReadStream(layer.file), entry);
  }
  archive.finalize();
  await written;
  await rename(temporary, destination);
}
