import type { ImageInfo } from '@vivarium/model';
import type { Image } from '../schemas/image.ts';

export function imageToWire(info: ImageInfo): Image {
  const { config } = info;
  return {
    name: info.references[0] ?? info.digest,
    digest: info.digest,
    status: 'ready',
    error: null,
    queue_position: null,
    created_at: info.importedAt,
    size_bytes: info.sizeBytes,
    platform: `linux/${info.architecture}`,
    cmd: config.cmd,
    entrypoint: config.entrypoint,
    env: config.env,
    working_dir: config.workingDir,
    tags: info.tags ?? {},
    references: info.references,
    user: config.user,
    ...(config.stopSignal === undefined ? {} : { stop_signal: config.stopSignal }),
    exposed_ports: config.exposedPorts,
    labels: config.labels,
    architecture: info.architecture,
    layers: info.layers.map((layer) => ({ digest: layer.digest, size_bytes: layer.sizeBytes })),
    ...(info.createdAt === undefined ? {} : { built_at: info.createdAt }),
    used_by: info.usedBy,
  };
}

/** Of an image that is ready. */
export function imageFromWire(wire: Image): ImageInfo {
  return {
    digest: wire.digest,
    references: wire.references ?? [],
    config: {
      entrypoint: wire.entrypoint ?? [],
      cmd: wire.cmd ?? [],
      env: wire.env ?? {},
      user: wire.user ?? '',
      workingDir: wire.working_dir ?? '',
      ...(wire.stop_signal === undefined ? {} : { stopSignal: wire.stop_signal }),
      exposedPorts: wire.exposed_ports ?? [],
      labels: wire.labels ?? {},
    },
    architecture: wire.architecture ?? '',
    layers: (wire.layers ?? []).map((layer) => ({ digest: layer.digest, sizeBytes: layer.size_bytes })),
    sizeBytes: wire.size_bytes ?? 0,
    ...(wire.built_at === undefined ? {} : { createdAt: wire.built_at }),
    ...(Object.keys(wire.tags ?? {}).length === 0 ? {} : { tags: wire.tags }),
    importedAt: wire.created_at,
    usedBy: wire.used_by ?? [],
  };
}

/** What the removal of an image answers, where it is asked for lines. */
export interface RemovedImage {
  digest: string;
  untagged: string[];
  deleted: boolean;
  freed_bytes: number;
}
