import path from 'node:path';
import { VivError } from '@vivarium/model';
import type { Candidate } from '../candidate.ts';
import { parseConfig } from '../config.ts';
import { digestOf } from '../digest.ts';
import { normalizeReference } from '../reference.ts';
import { type ArchiveFiles, readDocument } from './files.ts';

interface SavedImage {
  Config: string;
  RepoTags: string[] | null;
  Layers: string[];
}

function parse(data: Buffer): SavedImage[] {
  let value: unknown;
  try {
    value = JSON.parse(data.toString('utf8'));
  } catch (cause) {
    throw new VivError('archive_invalid', 'manifest.json of the archive is not JSON', { cause });
  }
  const texts = (list: unknown): boolean =>
    Array.isArray(list) && list.every((item) => typeof item === 'string');
  const fits = (image: Partial<SavedImage> | null): boolean =>
    typeof image?.Config === 'string' && texts(image.Layers) && texts(image.RepoTags ?? []);
  if (!Array.isArray(value) || value.length === 0 || !value.every(fits)) {
    throw new VivError('archive_invalid', 'manifest.json of the archive is not what `docker save` writes');
  }
  return value;
}

/** `docker save` keeps no manifest. This one, over the uncompressed layers, gives the image its digest, always the same. */
function manifestFor(config: Buffer, diffIds: string[], sizes: number[]): Buffer {
  const document = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(config),
      size: config.length,
    },
    layers: diffIds.map((digest, at) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest,
      size: sizes[at],
    })),
  };
  return Buffer.from(JSON.stringify(document));
}

/** Images of a `docker save` file, of any age of Docker. @throws VivError `archive_invalid`, `image_invalid`. */
export async function savedCandidates(files: ArchiveFiles): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const image of parse(await readDocument(files, 'manifest.json'))) {
    const config = await readDocument(files, path.posix.normalize(image.Config));
    const { diffIds } = parseConfig(config, image.Layers.length);
    const names = image.Layers.map((name) => path.posix.normalize(name));
    const sizes = await Promise.all(names.map((name) => files.size(name)));
    found.push({
      references: (image.RepoTags ?? []).map(normalizeReference),
      manifest: manifestFor(config, diffIds, sizes),
      config,
      layers: names.map((name, at) => ({
        digest: diffIds[at] ?? '',
        diffId: diffIds[at] ?? '',
        size: sizes[at],
        fetch: async () => ({
          source: { diffId: diffIds[at] ?? '', open: () => files.open(name) },
          release: async () => undefined,
        }),
      })),
    });
  }
  return found;
}
