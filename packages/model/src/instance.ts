import type { State } from '@vivarium/lifecycle';
import type { ErrorRecord } from './errors.ts';
import type { InstanceLimits } from './limits.ts';
import type { ServiceInfo, ServiceOptions } from './service.ts';
import type { AutoStandbyPolicy, WakePolicy } from './standby.ts';
import type { AttachedVolume, VolumeMount } from './volumes.ts';

/** A TCP port of the guest that the host listens for. */
export interface PortRequest {
  /** Address on the host to listen on. Default `127.0.0.1`. */
  hostAddress?: string;
  /** Port on the host. 0 or absent: a free one is taken, and kept for the life of the instance. */
  hostPort?: number;
  guestPort: number;
}

/** A published port as it is: the host port is the one really bound. */
export interface PublishedPort {
  hostAddress: string;
  hostPort: number;
  guestPort: number;
}

/** What to make. Everything but the image has a default. */
export interface CreateOptions extends ServiceOptions {
  /** `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`, at most 63 characters. Default: two words and a number. */
  name?: string;
  /** Image reference: `busybox`, `localhost:5000/app:1`, `debian@sha256:…`. */
  image: string;
  /** vCPUs. Default 1. */
  cpus?: number;
  /** Memory in bytes, or a string with a unit. Default 256 MiB. */
  memory?: number | string;
  /** Size of the writable root disk (sparse) in bytes, or a string with a unit. Default 10 GiB. */
  disk?: number | string;
  /** Added to, and winning over, the image's environment. */
  env?: Record<string, string>;
  /** Replaces the image's Cmd. */
  cmd?: string[];
  /** Replaces the image's Entrypoint (and drops its Cmd, as Docker does). */
  entrypoint?: string[];
  /** `name`, `uid`, `name:group` or `uid:gid`, from the image's own passwd. Default: the image's User, else root. */
  user?: string;
  /** Default: the image's WorkingDir, else `/`. */
  cwd?: string;
  /** Default: the name. */
  hostname?: string;
  /** At most 50. */
  tags?: Record<string, string>;
  ports?: PortRequest[];
  /** At most 23. */
  volumes?: VolumeMount[];
  /** `user`: outgoing connections and published ports. `none`: no card at all. Default `user`. */
  network?: 'user' | 'none';
  /** Gives the entrypoint a terminal of this size. */
  tty?: TerminalSize;
  /**
   * `open`: the entrypoint's stdin stays open, so that a shell waits. `null`: it reads end of file at once.
   * Default: `open` where the image's own command runs, `null` where `cmd` or `entrypoint` is given.
   */
  stdin?: 'open' | 'null';
  /**
   * True: the entrypoint's output is held back until somebody attaches, and waits for slow readers. False: it goes to
   * the log whether or not anyone reads it. Default false.
   */
  attach?: boolean;
  /** Whether to ask the registry. Default `missing`. */
  pull?: 'missing' | 'always' | 'never';
  /** Milliseconds a stop waits for the guest before it is forced. Default 5000. */
  stopTimeoutMs?: number;
  /** Delete the instance once it has stopped. Default false. */
  autoRemove?: boolean;
  /** In-process engine only: the VM outlives this process. The daemon's VMs always do. */
  detached?: boolean;
  /** Suspend it when it is idle. Default: never. */
  autoStandby?: AutoStandbyPolicy;
  /** Default `standby`. */
  wake?: WakePolicy;
  limits?: InstanceLimits;
}

export interface TerminalSize {
  rows: number;
  cols: number;
}

/** How a VM ended. */
export interface ExitInfo {
  /**
   * `exited`: the entrypoint ended by itself. `stopped`: it was asked to. `killed`: by force, by us. `guest_off`: the guest
   * powered itself off. `panicked`: its kernel did. `vmm_exited`: the VMM died under it.
   */
  reason: 'exited' | 'stopped' | 'killed' | 'guest_off' | 'panicked' | 'vmm_exited';
  /** Exit code of the entrypoint (128+n when a signal ended it); absent when it isn't known. */
  code?: number;
  /** For people: `killed by signal 9 (SIGKILL) - OOM`. */
  message: string;
  /** RFC 3339. */
  at: string;
  /** The VMM's own end, as its shim recorded it. */
  vmm?: { code?: number; signal?: string };
}

/** What holds an instance at this moment. */
export interface OperationInfo {
  id: string;
  action: string;
  /** The step it is in, for people. */
  step?: string;
  /** RFC 3339. */
  startedAt: string;
}

/** Everything known about an instance; the same shape from the engine and from the SDK. */
export interface InstanceInfo extends ServiceInfo {
  /** 24 lower-case letters and digits, as a CUID2 has them. */
  id: string;
  name: string;
  state: State;
  /** Why the state is Error or Unknown. */
  stateError?: ErrorRecord;
  image: {
    /** As it was asked for, normalised: `docker.io/library/busybox:latest`. */
    reference: string;
    /** The manifest digest the instance is pinned to. */
    digest: string;
  };
  cpus: number;
  memoryBytes: number;
  diskBytes: number;
  env: Record<string, string>;
  /** The whole command line of the entrypoint, after image defaults; empty when the VM has none. */
  command: string[];
  user: string;
  cwd: string;
  hostname: string;
  tags: Record<string, string>;
  ports: PublishedPort[];
  /** Absent where it has none. Its addresses are there from the first start on, and stay. */
  network?: { backend: string; ip?: string; mac?: string; gateway?: string };
  stopTimeoutMs: number;
  autoRemove: boolean;
  /** Rises with each start, so that guest and host can tell copies apart. Starts at 1. */
  generation: number;
  /** RFC 3339 times. */
  createdAt: string;
  startedAt?: string;
  stoppedAt?: string;
  exit?: ExitInfo;
  operation?: OperationInfo;
  /** Its memory is saved: {@link Vm.start} goes on from there, {@link Vm.discard} gives it up. RFC 3339 time of the save. */
  suspendedAt?: string;
  autoStandby?: AutoStandbyPolicy;
  /** Absent: `standby`. */
  wake?: WakePolicy;
  /** As asked for; {@link Vm.limits} says what is kept of them. */
  limits?: InstanceLimits;
  /** Absent where it has none. */
  volumes?: AttachedVolume[];
  /** What it was copied from, by a fork. */
  forkedFrom?: { instanceId: string; snapshotId?: string };
  /** The snapshot of it that was taken or restored last: what its next one comes after. */
  snapshotId?: string;
  /** The pool that made it. */
  pool?: string;
  /** When the pool handed it out; absent while it is kept ready. RFC 3339. */
  acquiredAt?: string;
  driver: string;
  /** Only while a VMM is alive. */
  vmm?: { name: string; version: string; pid: number; accelerator: string; machine: string };
}

/** One page of a listing. */
export interface Page<T> {
  items: T[];
  /** Give it to the next call; absent on the last page. */
  next?: string;
}

export interface ListOptions {
  /** Only these states. */
  states?: State[];
  /** Only instances with all of these tags. */
  tags?: Record<string, string>;
  /** 1 to 1000. Default 100. */
  limit?: number;
  /** `next` of the page before. */
  cursor?: string;
  signal?: AbortSignal;
}

/** What an action answers: whether anything changed, and the state that was observed afterwards. */
export interface ActionResult {
  changed: boolean;
  state: State;
}

/** Use of one running VM, as seen from inside and from the host. */
export interface InstanceStats {
  /** RFC 3339. */
  at: string;
  /** Nanoseconds of CPU since boot, over all vCPUs. */
  cpuNanos: number;
  memory: { totalBytes: number; usedBytes: number; availableBytes: number };
  disk: { totalBytes: number; usedBytes: number; readBytes: number; writtenBytes: number };
  network: { receivedBytes: number; sentBytes: number };
  processes: number;
  /** On the host: resident set and CPU time of the VMM. Absent where the host can't tell. */
  vmm?: { residentBytes: number; cpuNanos: number };
}

export type LogSource = 'app' | 'console' | 'vmm' | 'vivarium';

export interface LogOptions {
  /** Default `app`. */
  source?: LogSource;
  /** Lines from the end. Default: all of them. */
  tail?: number;
  /** Go on with new lines until the instance stops for good or the signal fires. */
  follow?: boolean;
  signal?: AbortSignal;
}

export interface LogLine {
  /** RFC 3339; absent where the source has no times (console, vmm). */
  at?: string;
  stream: 'stdout' | 'stderr' | 'console' | 'vmm' | 'vivarium';
  /** Without its line end. */
  text: string;
}
