import type { Duplex } from 'node:stream';
import type { ExpectedState, Inherited, MachineSaver, SavedState } from './saved.ts';

export type {
  ExpectedState,
  Inherited,
  MachineSaver,
  SavedState,
  SavedStateManifest,
  SaveTarget,
} from './saved.ts';

/** Who a process is. A pid alone is never enough: pids are reused. */
export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  startTime: number;
  /** /proc/sys/kernel/random/boot_id. */
  bootId: string;
}

/** A disk of the machine, in the order in which the guest sees it (vda, vdb, …). */
export interface DiskSpec {
  /** Serial number the guest finds it by, at most 20 bytes: `layers`, `root`. */
  serial: string;
  path: string;
  format: 'raw' | 'qcow2' | 'vmdk';
  readOnly: boolean;
  /** A volume: it hangs on the controller for those, at this unit (0 to 255), and may come and go while the machine lives. */
  unit?: number;
}

/** A disk that can be taken out of a live machine. */
export type VolumeDisk = DiskSpec & { unit: number };

export interface NicSpec {
  mac: string;
  /** User-mode network: its subnet in CIDR form; the guest has `.2`-style address `ip`, the gateway `gateway`. */
  backend: { kind: 'user'; subnet: string; ip: string; gateway: string; dns: string };
}

/** Port to listen on for a guest port. `preferred` ports fall back to a free one; `required` ones fail with `port_in_use`. */
export interface PublishSpec {
  hostAddress: string;
  hostPort: number;
  guestPort: number;
  binding: 'required' | 'preferred';
}

/** All that a driver needs to know of a machine. Paths are absolute. */
export interface MachineSpec {
  instanceId: string;
  /** The machine's own directory, mode 0700: sockets, logs, exit record. Exists before launch. */
  dir: string;
  cpus: number;
  memoryBytes: number;
  boot:
    | {
        kind: 'direct';
        kernel: string;
        initramfs: string;
        cmdline: string;
        /** `sha256:…` of the two files. Without them what is saved fits whatever a machine of this shape is booted from. */
        digests?: { kernel: string; initramfs: string };
      }
    | { kind: 'firmware' };
  /** `agent`: our agent answers on the channels. `none`: a foreign guest; Running is what the VMM says. */
  guest: 'agent' | 'none';
  disks: DiskSpec[];
  nic?: NicSpec;
  publish: PublishSpec[];
  /** False: the VMM is made ready and its vCPUs do not run until {@link Machine.resume} (state Created). */
  run: boolean;
  /** False: the machine ends when this process does. */
  detached: boolean;
  /** Connections to published ports wait until {@link PortHolder.releasePorts}. Default false. */
  holdPorts?: boolean;
  logs: { maxBytes: number; keep: number };
}

/** What a VMM says of itself; the engine maps it to a lifecycle state together with what the agent says. */
export type MachineStatus = 'created' | 'running' | 'paused' | 'shutdown' | 'panicked' | 'exited';

/** How a VMM process ended, as its shim saw it. */
export interface ExitRecord {
  /** Exit code, when it exited by itself. */
  code?: number;
  /** `SIGKILL`, … when a signal ended it. */
  signal?: string;
  /** RFC 3339. */
  at: string;
  /** Last lines of the VMM's own log, at most 4 KiB. */
  stderr: string;
  /** True when nobody saw it end: the shim died, or the host rebooted. */
  unobserved?: boolean;
}

/** Everything needed to find a machine again after the daemon has been replaced. Also on disk beside the machine. */
export interface MachineRecord {
  driver: string;
  instanceId: string;
  dir: string;
  vmm: ProcessIdentity;
  shim: ProcessIdentity;
  vmmName: string;
  vmmVersion: string;
  accelerator: string;
  /** Pinned machine type: `pc-q35-7.2`. */
  machine: string;
  ports: { hostAddress: string; hostPort: number; guestPort: number }[];
  /** RFC 3339. */
  launchedAt: string;
  /** What the guest has to be told to count time by, since what it has chosen itself would run fast or slow here. */
  clockSource?: string;
}

/** Optional: puts a new top layer on a disk of a live machine; what it had becomes read-only below it. */
export interface DiskLayerer {
  /** `file` is a qcow2 file that names the present top as its backing file. */
  addLayer(serial: string, file: string): Promise<void>;
  /** File name of the layer that is written now. */
  topLayer(serial: string): Promise<string>;
}

/** Which layers of a disk become one. */
export interface LayerMerge {
  /** File name of what the top stands on afterwards. */
  base: string;
  /** How many layers lie between the top and the base of all. */
  layers: number;
  /** How many of them, the lowest, are left alone. */
  kept: number;
}

/** Optional: merges layers of a disk of a live machine into its top, while the guest goes on. */
export interface DiskMerger {
  /**
   * Resolves once the VMM has let go of what was merged. When it rejects the disk is as it was.
   *
   * @throws VivError `disk_full`, `vmm_failed`, or the signal's reason.
   */
  mergeLayers(serial: string, merge: LayerMerge, signal: AbortSignal): Promise<void>;
  /** Ends a merge that a process which is no more has begun, or takes it as done where it is. */
  settleMerge(serial: string): Promise<void>;
}

/** What came to a published port of a live machine from one client. */
export interface PortTraffic {
  guestPort: number;
  /** The client's address. */
  peer: string;
  /** Connections that are open. Those that wait are not. */
  open: number;
  /** Milliseconds since the last one ended; 0 while one is open. What is long over is forgotten. */
  quietMs: number;
}

/** Optional: tells of connections to published ports, and can have new ones wait. Announced by `capabilities().holdPorts`. */
export interface PortHolder {
  traffic(): Promise<PortTraffic[]>;
  /**
   * From now on nobody new gets through; nobody is refused either. Answers what is open in the very moment. With `keep` the ports outlive
   * the machine (`holdMs` as in {@link DormantSpec}): {@link Driver.dormantPorts} finds them, and the next launch in this directory takes them over with whoever waits.
   */
  holdPorts(options: { keep: boolean; holdMs: number }): Promise<PortTraffic[]>;
  /** Lets through whoever waits, and undoes `keep`. */
  releasePorts(): Promise<void>;
}

/** Rates of a machine; 0: any. */
export interface MachineLimits {
  /** Bytes a second over all disks, read and written together. */
  diskBytesPerSecond: number;
  diskRequestsPerSecond: number;
  /** Bytes a second over all published ports, to and from the guest. */
  networkDownload: number;
  networkUpload: number;
}

/** Optional: keeps rates of a live machine. They end with its VMM. */
export interface MachineThrottler {
  throttle(limits: MachineLimits): Promise<void>;
}

/** Published ports of a machine that is no more, held until it is launched again. */
export interface DormantPorts extends AsyncDisposable {
  /** Called whenever somebody waits, the first time at once where somebody does already. */
  onTraffic(listener: () => void): void;
  /** Closes the connections of those who wait now. */
  drop(): Promise<void>;
  /** Gives the ports up. */
  close(): Promise<void>;
  /** Settles when they are no longer held: given up, taken over by a launch, or lost. */
  readonly ended: Promise<void>;
  /** Lets go of them; they stay held. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Optional: takes volumes in and out of a live machine. Announced by `capabilities().volumes`. */
export interface VolumePlugger {
  /**
   * The guest finds it by its serial once this resolves. One that is there already is left alone.
   *
   * @throws VivError `vmm_failed`, also where another machine writes to the file, or reads what this one would write.
   */
  plugVolume(disk: VolumeDisk): Promise<void>;
  /** The file is nobody's once this resolves. The guest should have let go of it before. One that isn't there is no error. */
  unplugVolume(serial: string): Promise<void>;
  /** Serials of the volumes that are there, those of the launch among them. */
  pluggedVolumes(): Promise<string[]>;
}

/**
 * `control`: exec, stats, shutdown. `bulk`: file copies and TCP tunnels. `console`: the serial line, raw, from now on.
 * Control and bulk take one reader at a time; a console takes many.
 */
export type Channel = 'control' | 'bulk' | 'console';

export interface Machine extends AsyncDisposable {
  readonly record: MachineRecord;
  /** Asks the VMM. @throws VivError `vmm_failed` where it doesn't answer within two seconds. */
  status(): Promise<MachineStatus>;
  /** The VMM tells of every change by itself; the last call is `exited`. Returns what ends the subscription. */
  onStatus(listener: (status: MachineStatus) => void): () => void;
  pause(): Promise<void>;
  /** Also the first run of a machine launched with `run: false`. */
  resume(): Promise<void>;
  /** ACPI power button, for guests without an agent. */
  powerdown(): Promise<void>;
  /** What a guest power-off does from now on: end the VMM (default), or keep it (state Shutdown). */
  onGuestOff(then: 'exit' | 'keep'): Promise<void>;
  /** Ends the VMM by force; resolves once it is proven gone. Idempotent. */
  kill(): Promise<ExitRecord>;
  open(channel: Channel, signal?: AbortSignal): Promise<Duplex>;
  readonly exited: Promise<ExitRecord>;
  /** Lets go of the machine without touching it; the VM goes on. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a driver can do beyond {@link Machine}; published by the API. */
export interface Capabilities {
  pause: boolean;
  prepare: boolean;
  shutdownKeepsVmm: boolean;
  consoleInput: boolean;
  diskGrowLive: boolean;
  /** Machines can be saved and launched from what was saved. */
  save: boolean;
  /** Published ports can outlive their machine, and traffic to them is told of. */
  holdPorts: boolean;
  /** Volumes come and go while a machine lives. */
  volumes: boolean;
  networks: ('user' | 'none')[];
  maxCpus: number;
}

/** Optional: grows a disk of a live machine. */
export interface DiskGrower {
  growDisk(serial: string, bytes: number): Promise<void>;
}

export interface Driver {
  readonly name: string;
  capabilities(): Capabilities;
  /**
   * Optional: what it keeps running beside its machines while an engine is open, until that is disposed of; what has to lie on disk for that
   * lies in `dir`. Nothing depends on it but how fast machines start.
   */
  attend?(dir: string): AsyncDisposable;
  /** What runs the machines, down to its build: what one saved another one may not understand. */
  build(boot: MachineSpec['boot']): Promise<string>;
  /** Whether a guest that was saved keeps time here by itself, or as well as one that is booted here; else it has to be told ({@link MachineRecord.clockSource}). */
  keepsTime(state: SavedState): Promise<boolean>;
  /**
   * Starts a VMM. Once it resolves the machine can be adopted; when it rejects or the signal fires first, no process and
   * no socket is left.
   *
   * With `from` the machine is what was saved: it runs on where it stopped (`spec.run` false: it is `paused`), and its memory is
   * mapped, not read. The saved state may be deleted as soon as this resolves. With one that is expected a VMM is made ready, and waits for it.
   *
   * `onReachable`: told, with `from`, once its channels can be opened and before the guest runs: what is said there waits for it, not for long.
   * A driver may leave it at that, and not tell.
   *
   * @throws VivError `vmm_missing`, `vmm_failed`, `port_in_use`, `cancelled`; with `from` also `saved_state_mismatch` and
   *   `saved_state_damaged`, or why the expected state does not come.
   */
  launch(
    spec: MachineSpec,
    signal?: AbortSignal,
    from?: SavedState | ExpectedState,
    onReachable?: (machine: Pick<Machine, 'open'>) => void,
  ): Promise<Machine>;
  /**
   * Finds the machine that lives in a directory, whether or not anyone recorded it: the same pids, never new ones.
   * Answers an exit record where it has ended, and undefined where none was ever launched there.
   */
  adopt(dir: string): Promise<Machine | ExitRecord | undefined>;
  /**
   * Finds who holds the ports of a directory whose machine has ended, or has them bound. `holdMs`: how long a connection waits for somebody
   * to listen here before it is closed.
   *
   * @throws VivError `port_in_use`, `vmm_failed`.
   */
  dormantPorts?(dir: string, ports: DormantSpec): Promise<DormantPorts>;
}

export interface DormantSpec {
  ports: MachineRecord['ports'];
  /** False: they end when this process does. */
  detached: boolean;
  /** Milliseconds. */
  holdMs: number;
}

export function inheritedFrom(from: SavedState | ExpectedState): Inherited {
  const { tscKhz, virtio } = isExpected(from) ? from.inherited : from.manifest;
  return inherited({ tscKhz, virtio });
}

/** Only what is known. */
export function inherited({
  tscKhz,
  virtio,
}: { [Name in keyof Inherited]: Inherited[Name] | undefined }): Inherited {
  return { ...(tscKhz === undefined ? {} : { tscKhz }), ...(virtio === undefined ? {} : { virtio }) };
}

export function isExpected(from: SavedState | ExpectedState | undefined): from is ExpectedState {
  return from !== undefined && 'state' in from;
}

export function isDiskGrower(machine: Machine): machine is Machine & DiskGrower {
  return 'growDisk' in machine;
}

export function isMachineSaver(machine: Machine): machine is Machine & MachineSaver {
  return 'save' in machine;
}

export function isDiskLayerer(machine: Machine): machine is Machine & DiskLayerer {
  return 'addLayer' in machine;
}

export function isDiskMerger(machine: Machine): machine is Machine & DiskMerger {
  return 'mergeLayers' in machine;
}

export function isPortHolder(machine: Machine): machine is Machine & PortHolder {
  return 'holdPorts' in machine;
}

export function isMachineThrottler(machine: Machine): machine is Machine & MachineThrottler {
  return 'throttle' in machine;
}

export function isVolumePlugger(machine: Machine): machine is Machine & VolumePlugger {
  return 'plugVolume' in machine;
}
