/** An image in the local store. */
export interface ImageInfo {
  /** Manifest digest. */
  digest: string;
  /** Normalised references (`docker.io/library/busybox:latest`), possibly none. */
  references: string[];
  config: ImageConfig;
  architecture: string;
  layers: { digest: string; sizeBytes: number }[];
  /** Bytes of its layers on disk; shared layers are counted in full. */
  sizeBytes: number;
  /** Of the pull that asked for them last. Absent: none. */
  tags?: Record<string, string>;
  /** RFC 3339; when the image was built. */
  createdAt?: string;
  /** RFC 3339; when it came into this store. */
  importedAt: string;
  /** Names of the instances that stand on it. */
  usedBy: string[];
}

/** The part of an OCI image configuration that a VM honours. */
export interface ImageConfig {
  entrypoint: string[];
  cmd: string[];
  env: Record<string, string>;
  user: string;
  workingDir: string;
  stopSignal?: string;
  exposedPorts: string[];
  labels: Record<string, string>;
}
