import {
  type AttachedVolume,
  type CopyVolumeOptions,
  type CreateVolumeOptions,
  parseSize,
  VivError,
  type VolumeInfo,
  type VolumeMode,
  type VolumeMount,
} from '@vivarium/model';
import type { Instance } from '../schemas/instance.ts';
import type {
  AttachVolume,
  CopyVolume,
  CreateVolume,
  ResizeVolume,
  Volume,
  VolumeMountInput,
} from '../schemas/volume.ts';
import { present } from './present.ts';

const GiB = 1024 ** 3;

export function volumeToWire(info: VolumeInfo): Volume {
  return present<Volume>({
    id: info.id,
    name: info.name,
    size_gb: info.sizeBytes / GiB,
    attachments: info.attachments.map(({ instanceId, instanceName, path, mode }) => ({
      instance_id: instanceId,
      mount_path: path,
      readonly: mode !== 'rw',
      instance_name: instanceName,
      mode,
    })),
    tags: info.tags,
    created_at: info.createdAt,
    size_bytes: info.sizeBytes,
    used_bytes: info.usedBytes,
    read_only: info.readOnly,
    source_id: info.sourceId,
  });
}

export function volumeFromWire(wire: Volume): VolumeInfo {
  return present<VolumeInfo>({
    id: wire.id,
    name: wire.name,
    sizeBytes: wire.size_bytes,
    usedBytes: wire.used_bytes,
    tags: wire.tags,
    readOnly: wire.read_only,
    sourceId: wire.source_id,
    attachments: wire.attachments.map((each) => ({
      instanceId: each.instance_id,
      instanceName: each.instance_name,
      path: each.mount_path,
      mode: each.mode as VolumeMode,
    })),
    createdAt: wire.created_at,
  });
}

/** @throws VivError `invalid_size`. */
export function createVolumeToWire({ name, size, id, tags }: CreateVolumeOptions): CreateVolume {
  return present<CreateVolume>({ name, size_bytes: parseSize(size, 'volume size'), id, tags });
}

/** @throws VivError `invalid_size` where no size is said. */
export function createVolumeFromWire({ name, id, tags, ...size }: CreateVolume): CreateVolumeOptions {
  return present<CreateVolumeOptions>({ name, size: volumeSizeFromWire(size), id, tags });
}

/** Bytes. @throws VivError `invalid_size` where none is said. */
export function volumeSizeFromWire({ size_gb, size_bytes }: ResizeVolume): number {
  if (size_bytes !== undefined) return size_bytes;
  if (size_gb === undefined)
    throw new VivError('invalid_size', 'The size of the volume is missing', { hint: 'Send size_gb.' });
  return Math.round(size_gb * GiB);
}

export function copyVolumeToWire({ name, tags }: CopyVolumeOptions): CopyVolume {
  return present<CopyVolume>({ name, tags });
}

export function copyVolumeFromWire({ name, tags }: CopyVolume): CopyVolumeOptions {
  return present<CopyVolumeOptions>({ name, tags });
}

export function mountToWire({ volume, path, mode }: VolumeMount): VolumeMountInput {
  return present<VolumeMountInput>({ volume_id: volume, mount_path: path, ...mannerOf(mode) });
}

function mannerOf(mode: VolumeMode | undefined): Pick<AttachVolume, 'readonly' | 'overlay'> {
  if (mode === undefined) return {};
  return mode === 'overlay' ? { readonly: true, overlay: true } : { readonly: mode === 'ro' };
}

/** @throws VivError `invalid_request` for an overlay above a volume that is written to, `invalid_size`. */
export function mountFromWire({ volume_id, mount_path, ...manner }: VolumeMountInput): VolumeMount {
  return present<VolumeMount>({ volume: volume_id, path: mount_path, mode: modeFrom(manner) });
}

function modeFrom({
  readonly: readOnly,
  overlay,
  overlay_size,
}: Omit<AttachVolume, 'mount_path'>): VolumeMode | undefined {
  if (overlay_size !== undefined) parseSize(overlay_size, 'overlay size');
  if (!overlay) return readOnly === undefined ? undefined : readOnly ? 'ro' : 'rw';
  if (readOnly === false)
    throw new VivError('invalid_request', 'An overlay lies above a volume that is read-only', {
      hint: 'Send readonly: true with it, or leave readonly out.',
    });
  return 'overlay';
}

export function attachedToWire(volumes: AttachedVolume[]): NonNullable<Instance['volumes']> {
  return volumes.map(({ volumeId, path, mode }) => ({
    volume_id: volumeId,
    mount_path: path,
    readonly: mode !== 'rw',
    overlay: mode === 'overlay',
  }));
}

export function attachedFromWire(volumes: NonNullable<Instance['volumes']>): AttachedVolume[] {
  return volumes.map(({ volume_id, mount_path, readonly: readOnly, overlay }) => ({
    volumeId: volume_id,
    path: mount_path,
    mode: overlay ? 'overlay' : readOnly ? 'ro' : 'rw',
  }));
}
