import { VivError } from '@vivarium/model';
import { type Digest, digestHex } from './digest.ts';

/** OCI and Docker descriptors alike. */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  platform?: { os: string; architecture: string; variant?: string };
  annotations: Record<string, string>;
}

export interface Manifest {
  config: Descriptor;
  layers: Descriptor[];
}

export interface Index {
  manifests: Descriptor[];
}

/** Manifests, indexes and configurations are read into memory; a registry that sends more is refused. */
export const maximumDocumentBytes = 4 * 1024 * 1024;

export const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
] as const;
export const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
] as const;
const configTypes = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];
const layerType =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(foreign\.)?diff\.tar)([.+](gzip|zstd))?$/;

function invalid(why: string, cause?: unknown): VivError {
  return new VivError('image_invalid', `The image cannot be read: ${why}`, { cause });
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** @throws VivError `image_invalid` for what is not a JSON object. */
export function parseDocument(data: Uint8Array, what: string): Json {
  if (data.byteLength > maximumDocumentBytes) throw invalid(`the ${what} is larger than 4 MiB`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch (cause) {
    throw invalid(`the ${what} is not JSON`, cause);
  }
  if (!isObject(value)) throw invalid(`the ${what} is not a JSON object`);
  return value;
}

function strings(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function descriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw invalid(`${what} is not a descriptor`);
  digestHex(value.digest, `digest of ${what}`);
  if (!Number.isSafeInteger(value.size) || (value.size as number) < 0)
    throw invalid(`${what} has no valid size`);
  const platform = isObject(value.platform) ? strings(value.platform) : undefined;
  return {
    mediaType: typeof value.mediaType === 'string' ? value.mediaType : '',
    digest: value.digest as string,
    size: value.size as number,
    annotations: strings(value.annotations),
    ...(platform
      ? {
          platform: {
            os: platform.os ?? '',
            architecture: platform.architecture ?? '',
            variant: platform.variant,
          },
        }
      : {}),
  };
}

/** True for an index or manifest list. Old OCI documents carry no media type; what they hold tells. */
export function isIndex(document: Json): boolean {
  const type = document.mediaType;
  return typeof type === 'string'
    ? (indexTypes as readonly string[]).includes(type)
    : Array.isArray(document.manifests);
}

/** @throws VivError `image_invalid`. */
export function parseIndex(document: Json): Index {
  if (!Array.isArray(document.manifests)) throw invalid('the index has no manifests');
  return {
    manifests: document.manifests.map((entry, at) => descriptor(entry, `manifest ${at + 1} of the index`)),
  };
}

/** @throws VivError `image_invalid`, also for artifacts that are no container images. */
export function parseManifest(document: Json): Manifest {
  if (document.schemaVersion === 1)
    throw invalid('it has the old manifest schema 1; push it again with a current tool');
  if (!Array.isArray(document.layers)) throw invalid('the manifest has no layers');
  const config = descriptor(document.config, 'the configuration');
  const layers = document.layers.map((layer, at) => descriptor(layer, `layer ${at + 1}`));
  const foreign = [
    ...(configTypes.includes(config.mediaType) ? [] : [config.mediaType]),
    ...layers.map((layer) => layer.mediaType).filter((type) => !layerType.test(type)),
  ];
  if (foreign.length > 0)
    throw invalid(`it is no container image, but holds ${JSON.stringify(foreign[0]?.slice(0, 100))}`);
  return { config, layers };
}

/** Name of this host's architecture in OCI's words. */
export function hostArchitecture(): string {
  return { x64: 'amd64', ia32: '386' }[process.arch as string] ?? process.arch;
}

const platformName = ({ platform }: Descriptor): string =>
  platform ? [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/') : 'unknown';

/** Build attestations sit in indexes as if they were platforms. */
const isAttestation = (entry: Descriptor): boolean =>
  entry.platform?.os === 'unknown' || entry.annotations['vnd.docker.reference.type'] !== undefined;

/**
 * The manifest for this host.
 *
 * @throws VivError `image_not_found` where the image has none, naming those it has.
 */
export function choosePlatform(index: Index, what: string, architecture = hostArchitecture()): Descriptor {
  const real = index.manifests.filter((entry) => !isAttestation(entry));
  const fitting = real.filter(
    (entry) => entry.platform?.os === 'linux' && entry.platform.architecture === architecture,
  );
  // linux/amd64/v3 needs a newer processor than linux/amd64; arm64 is v8 by another name.
  const plain = fitting.find((entry) => !entry.platform?.variant || entry.platform.variant === 'v8');
  const only = real.length === 1 && !real[0]?.platform ? real[0] : undefined;
  const chosen = plain ?? fitting[0] ?? only;
  if (chosen) return chosen;
  const names = real.map(platformName).join(', ') || 'nothing';
  throw new VivError('image_not_found', `${what} is not there for linux/${architecture}; it has ${names}`);
}
