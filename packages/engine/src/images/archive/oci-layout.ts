import { VivError } from '@vivarium/model';
import type { Candidate } from '../candidate.ts';
import { parseConfig } from '../config.ts';
import { digestHex, digestOf, verifyDigest } from '../digest.ts';
import {
  choosePlatform,
  type Descriptor,
  isIndex,
  type Manifest,
  parseDocument,
  parseIndex,
  parseManifest,
} from '../oci.ts';
import { normalizeReference } from '../reference.ts';
import { type ArchiveFiles, readDocument } from './files.ts';

/** Indexes inside indexes; more is a loop or a joke. */
const maximumDepth = 4;

const blobName = (descriptor: Descriptor): string => `blobs/sha256/${digestHex(descriptor.digest)}`;

async function readBlob(files: ArchiveFiles, descriptor: Descriptor, what: string): Promise<Buffer> {
  const data = await readDocument(files, blobName(descriptor));
  verifyDigest(what, descriptor.digest, digestOf(data));
  return data;
}

/** The manifest behind a descriptor, for this host's platform. */
async function manifestOf(
  files: ArchiveFiles,
  start: Descriptor,
): Promise<{ data: Buffer; manifest: Manifest }> {
  let descriptor = start;
  for (let depth = 0; depth < maximumDepth; depth++) {
    const data = await readBlob(files, descriptor, 'the manifest');
    const document = parseDocument(data, 'manifest');
    if (!isIndex(document)) return { data, manifest: parseManifest(document) };
    descriptor = choosePlatform(parseIndex(document), 'The image');
  }
  throw new VivError('image_invalid', 'The archive has indexes inside indexes without end');
}

/** What the archive itself calls an image; a bare word is a tag without a name, and no reference. */
function nameOf({ annotations }: Descriptor): string | undefined {
  const name = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'];
  return name !== undefined && /[/:]/.test(name) ? name : undefined;
}

/** One descriptor per image: those without a name of their own are platforms of one image. */
function images(manifests: Descriptor[]): { references: string[]; descriptor: Descriptor }[] {
  const named = Map.groupBy(manifests, (entry) => nameOf(entry) ?? '');
  const tagged = (entry: Descriptor) => entry.annotations['org.opencontainers.image.ref.name'] !== undefined;
  return [...named].flatMap(([name, entries]) => {
    const references = name === '' ? [] : [normalizeReference(name)];
    const [first] = entries;
    if (entries.length === 1 && first) return [{ references, descriptor: first }];
    if (entries.every(tagged) && name === '')
      return entries.map((descriptor) => ({ references, descriptor }));
    return [{ references, descriptor: choosePlatform({ manifests: entries }, name || 'The image') }];
  });
}

/** Images of an OCI layout. @throws VivError `image_invalid`, `image_not_found` where no platform fits. */
export async function layoutCandidates(files: ArchiveFiles): Promise<Candidate[]> {
  const { manifests } = parseIndex(parseDocument(await readDocument(files, 'index.json'), 'index'));
  if (manifests.length === 0) throw new VivError('archive_invalid', 'The archive has no image in it');
  const found: Candidate[] = [];
  for (const { references, descriptor } of images(manifests)) {
    const { data, manifest } = await manifestOf(files, descriptor);
    const config = await readBlob(files, manifest.config, 'the configuration');
    const { diffIds } = parseConfig(config, manifest.layers.length);
    found.push({
      references,
      manifest: data,
      config,
      layers: manifest.layers.map((layer, at) => ({
        digest: layer.digest,
        diffId: diffIds[at] ?? '',
        size: layer.size,
        async fetch() {
          const blob = { digest: layer.digest, size: layer.size };
          const source = { diffId: diffIds[at] ?? '', blob, open: () => files.open(blobName(layer)) };
          return { source, release: async () => undefined };
        },
      })),
    });
  }
  return found;
}
