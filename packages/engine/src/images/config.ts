import { type ImageConfig, VivError } from '@vivarium/model';
import { type Digest, digestHex } from './digest.ts';
import { hostArchitecture, parseDocument } from './oci.ts';

/** What an image's configuration document says, as far as a VM cares. */
export interface ParsedConfig {
  config: ImageConfig;
  architecture: string;
  createdAt?: string;
  /** Digests of the uncompressed layers, base first. */
  diffIds: Digest[];
}

type Json = Record<string, unknown>;
const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Docker writes null for empty; a plain string is what very old tools wrote. */
function list(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function environment(value: unknown): Record<string, string> {
  const pairs = list(value).map((pair): [string, string] => {
    const equals = pair.indexOf('=');
    return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
  });
  return Object.fromEntries(pairs.filter(([name]) => name !== ''));
}

/** @throws VivError `image_invalid`, and `not_supported` for another architecture or operating system than this host's. */
export function parseConfig(data: Uint8Array, layerCount: number): ParsedConfig {
  const document = parseDocument(data, 'configuration');
  const rootfs = object(document.rootfs);
  const diffIds = list(rootfs.diff_ids);
  for (const id of diffIds) digestHex(id, 'diff id');
  if (diffIds.length !== layerCount) {
    throw new VivError('image_invalid', `The image has ${layerCount} layers and ${diffIds.length} diff ids`);
  }
  const architecture = text(document.architecture) || hostArchitecture();
  const os = text(document.os) || 'linux';
  if (os !== 'linux' || architecture !== hostArchitecture()) {
    throw new VivError(
      'not_supported',
      `The image is for ${os}/${architecture}; this host runs linux/${hostArchitecture()}`,
    );
  }
  const run = object(document.config);
  const created = new Date(text(document.created));
  return {
    architecture,
    diffIds,
    ...(Number.isNaN(created.getTime()) ? {} : { createdAt: created.toISOString() }),
    config: {
      entrypoint: list(run.Entrypoint),
      cmd: list(run.Cmd),
      env: environment(run.Env),
      user: text(run.User),
      workingDir: text(run.WorkingDir),
      ...(text(run.StopSignal) === '' ? {} : { stopSignal: text(run.StopSignal) }),
      exposedPorts: Object.keys(object(run.ExposedPorts)),
      labels: Object.fromEntries(
        Object.entries(object(run.Labels)).map(([name, value]) => [name, text(value)]),
      ),
    },
  };
}
