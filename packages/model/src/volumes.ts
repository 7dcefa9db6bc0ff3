import type { InstanceInfo } from './instance.ts';
import type { AskOptions, CallOptions, MakingOptions, Task } from './progress.ts';

/**
 * How an instance has a volume. `rw`: written to, by nobody else. `ro`: read by any number. `overlay`: read by any number, each
 * with a private layer above it, which lies on the instance's own disk and lasts as long as the attachment.
 */
export type VolumeMode = 'rw' | 'ro' | 'overlay';

/** A volume that an instance is to have. */
export interface VolumeMount {
  /** Id, name or id prefix. */
  volume: string;
  /** Where in the guest: absolute, no system directory, not above or below another one's. Missing directories are made. */
  path: string;
  /** Default `rw`; `ro` for a snapshot. */
  mode?: VolumeMode;
}

/** A volume that an instance has, as it is shown with the instance. */
export interface AttachedVolume {
  volumeId: string;
  path: string;
  mode: VolumeMode;
}

/** An instance that has a volume, as it is shown with the volume. */
export interface VolumeAttachment {
  instanceId: string;
  instanceName: string;
  path: string;
  mode: VolumeMode;
}

/** A disk that outlives instances. The same shape from the engine and from the SDK. */
export interface VolumeInfo {
  /** 24 lower-case letters and digits, or what was asked for. */
  id: string;
  /** As instance names; unique among volumes. */
  name: string;
  /** What the guest sees. */
  sizeBytes: number;
  /** What its files take on the host; what it shares with others counts for each of them. */
  usedBytes: number;
  tags: Record<string, string>;
  /** Of a snapshot: nobody may write to it. */
  readOnly: boolean;
  /** The volume that it is a clone or a snapshot of. */
  sourceId?: string;
  /** Empty where nobody has it. Instances that are stopped or suspended count. */
  attachments: VolumeAttachment[];
  /** RFC 3339. */
  createdAt: string;
}

export interface CreateVolumeOptions {
  /** Default: two words and a number. */
  name?: string;
  /** Bytes, or a string with a unit: 64 MiB to 16 TiB, rounded up to whole MiB. Sparse: an empty one takes next to no room. */
  size: number | string;
  /** `^[a-z0-9][a-z0-9_-]*$`, 3 to 64 characters. Default: 24 lower-case letters and digits. */
  id?: string;
  /** At most 50. */
  tags?: Record<string, string>;
}

/** Of a clone or a snapshot. */
export interface CopyVolumeOptions {
  /** Default: two words and a number. */
  name?: string;
  /** Default: the source's. */
  tags?: Record<string, string>;
}

/** Volumes of a data directory. Everywhere a volume is named by id, name or id prefix. */
export interface Volumes {
  /** An empty ext4 file system. @throws VivError `invalid_size`, `invalid_name`, `name_conflict`, `disk_full`. */
  create(options: CreateVolumeOptions & MakingOptions): Promise<VolumeInfo>;
  /** Oldest first. */
  list(options?: AskOptions & { tags?: Record<string, string> }): Promise<VolumeInfo[]>;
  /** @throws VivError `not_found`, `ambiguous`. */
  get(volume: string, options?: AskOptions): Promise<VolumeInfo>;
  /** @throws VivError `conflict` while an instance has it, also one that is stopped. */
  remove(volume: string, options?: AskOptions): Promise<void>;
  /** Grows it: at once in an instance that writes to it, else at its next use. @throws VivError `invalid_size` for shrinking, `conflict` while it is read. */
  resize(volume: string, size: number | string, options?: AskOptions): Promise<VolumeInfo>;
  /**
   * A volume of its own that begins as this one is; milliseconds, whatever the size. Of one that a running guest writes to it is what the disk
   * holds after a `sync`, as after a power failure.
   *
   * @throws VivError `conflict` where a suspended or paused instance writes to it.
   */
  clone(volume: string, options?: CopyVolumeOptions & MakingOptions): Task<VolumeInfo>;
  /** As {@link Volumes.clone}, and nobody may write to it. */
  snapshot(volume: string, options?: CopyVolumeOptions & MakingOptions): Task<VolumeInfo>;
  /**
   * A new volume from a tar stream, plain or compressed with gzip or zstd, with owners, modes and times. Nothing is left where it fails. A
   * stream can be read only once: of a connection that breaks nobody asks again by himself. Who does, with the same key, sends the archive
   * again, which is compared with the one that the volume is made of. Over HTTP `detach()` answers once the archive has been sent.
   *
   * @throws VivError `archive_hostile` for an entry or a hard link that leads out, a device, or a bomb; `archive_invalid`;
   *   `payload_too_large` where the content does not fit; `disk_full` for the host's disk.
   */
  import(archive: AsyncIterable<Uint8Array>, options: CreateVolumeOptions & MakingOptions): Task<VolumeInfo>;
  /**
   * All of it as a tar.gz stream, which {@link Volumes.import} takes; devices and sockets are left out. Of one that a running instance has it is read through that guest, as it is while others write.
   *
   * @throws VivError `conflict` where a suspended or paused instance writes to it.
   */
  export(volume: string, options?: CallOptions): AsyncIterable<Uint8Array>;
}

/** The volumes of one instance. */
export interface VmVolumes {
  /**
   * Attaches a volume to an instance that is stopped or runs; in a running one it is there when this resolves.
   *
   * @throws VivError `conflict` where the volume can't be had so, or the path is taken; `invalid_request` for the path;
   *   `invalid_state`; `not_supported` for a guest that was started by an older version.
   */
  attach(volume: VolumeMount, options?: CallOptions): Promise<InstanceInfo>;
  /**
   * Takes a volume away. `force`: from whoever uses it, who finds that it is gone. What was written to an overlay is given up.
   *
   * @throws VivError `conflict` naming who uses it.
   */
  detach(volume: string, options?: CallOptions & { force?: boolean }): Promise<InstanceInfo>;
}

/** How many volumes an instance may have. */
export const mostVolumes = 23;
