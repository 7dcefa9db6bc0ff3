/** What of a machine was saved: `manifest.json` of docs/saved-state.md. */
export interface SavedStateManifest {
  format: 1;
  driver: string;
  /** RFC 3339. */
  savedAt: string;
  /** Of the host that saved it. */
  bootId: string;
  vmm: { name: string; version: string; machine: string; accelerator: string; cpu: string };
  /** `devices`: `disk:<serial>` in order, `nic`, then `volume:<serial>`. A machine may have more than these when it is restored, never fewer. */
  shape: { cpus: number; memoryBytes: number; devices: string[] };
  /** Digests of what it was booted from, `sha256:…`. */
  boot: { kernel: string; initramfs: string };
  guest: { was: 'running' | 'paused'; generation: number; hostname: string; machineId: string };
  memory: { bytes: number; dataBytes: number; digest: string; inode: string; mtimeNs: string };
  delta?: { pages: number; bytes: number; digest: string };
  devices: { bytes: number; digest: string };
  /**
   * How fast the time stamp counter of the host was where the guest was booted, kHz: the guest goes on taking that for granted. Not there
   * where it is not known, and with an accelerator that sees to it itself.
   */
  tscKhz?: number;
  /** How the guest speaks to its virtio devices: as in versions before 1.0. Not there: as in 1.0, or with nobody. */
  virtio?: 'legacy';
}

/** What a machine that goes on from a state has from the one that was saved, and can't have otherwise. */
export type Inherited = Pick<SavedStateManifest, 'tscKhz' | 'virtio'>;

/** A directory that holds a complete one. */
export interface SavedState {
  dir: string;
  manifest: SavedStateManifest;
}

/** One that is still being saved: a machine can be made ready for it meanwhile ({@link SaveTarget.foreseen}). */
export interface ExpectedState {
  /** Has `memory`, which the state will stand on as a rule, and `devices`, which is written yet. `memory` may be replaced, by a rename. */
  dir: string;
  /** Rejects where it is not to come. */
  state: Promise<SavedState>;
  /** As it will be in its manifest. */
  inherited: Inherited;
  /** Called once the VMM is starting: from then on little is done for it in this process. */
  started?: () => void;
}

export interface SaveTarget {
  /** Exists, is empty, and lies on the file system of the machine's own directory. */
  dir: string;
  guest: Omit<SavedStateManifest['guest'], 'was'>;
  /** `continue`: as it was before, running or paused, also when the save fails. `stay`: the vCPUs stay stopped once it is complete. */
  afterwards: 'continue' | 'stay';
  /** The vCPUs do not stop before this resolves; where it rejects the save fails. What is done before goes on meanwhile. */
  ready?: Promise<unknown>;
  /**
   * Called once with the vCPUs stopped and the disks flushed: whatever has to be of the same instant. When it throws the save
   * fails.
   */
  atPause?: () => Promise<void>;
  /** Little will have to be saved, as a rule: `foreseen` is called before that is certain, and may have been called in vain. Default false. */
  early?: boolean;
  /**
   * Called at most once, before the vCPUs stop, where little has to be saved: what is to be in `dir` is an {@link ExpectedState} from now on.
   * When it throws the save fails.
   */
  foreseen?: (known: Inherited) => Promise<void>;
  /**
   * Bytes of memory that may be kept as a difference from what was saved before, at most 32 MiB. Little is written then, and each
   * machine restored from it gets so much memory of its own. 0: never. Default 4 MiB.
   */
  mostDeltaBytes?: number;
  signal?: AbortSignal;
}

/** Optional: saves a live machine. Announced by `capabilities().save`. */
export interface MachineSaver {
  /**
   * Writes `memory`, `devices` and, where it is worth it, `delta` into the directory, and answers the manifest, which the caller
   * writes, and how long the vCPUs stood still, both times where there were two pauses. A failed save leaves the machine as it was; what it wrote is the caller's to remove.
   */
  save(target: SaveTarget): Promise<{ manifest: SavedStateManifest; pauseMilliseconds: number }>;
}
