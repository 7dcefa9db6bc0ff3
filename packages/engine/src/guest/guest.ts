import type { Duplex } from 'node:stream';
import type { ExecConnection, FileStat, InstanceStats, TerminalSize, VolumeMode } from '@vivarium/model';
import type { GuestFileCalls } from './file-calls.ts';

/** Who this VM is; sent at boot, and again after every restore or fork. See docs/protocol.md, `configure`. */
export interface GuestIdentity {
  hostname: string;
  /** 32 hex digits. */
  machineId: string;
  generation: number;
  /** Fresh random bytes for the kernel's pool, at least 64. */
  entropy: Uint8Array;
  /** Wall clock, nanoseconds since 1970. */
  clockNanos: bigint;
  network?: { mac: string; address: string; gateway: string; dns: string[]; mtu?: number };
}

/** What {@link Guest.identity} tells of a guest that was restored. */
export interface RestoredIdentity extends GuestIdentity {
  /**
   * The guest is one of several with the same past: SSH host keys are made anew and the hooks of its image run. Default false, which
   * is right for a start from a template and for the only resume of a suspended guest.
   */
  copy?: boolean;
  /** TCP connections to the outside end at once, with ECONNABORTED for whoever uses them. Default false. */
  resetConnections?: boolean;
}

export interface GuestConfig extends GuestIdentity {
  root: { layers: number; layersSerial: string; overlaySerial: string };
}

/** A volume as the guest is to have it. */
export interface GuestVolume {
  serial: string;
  path: string;
  mode: VolumeMode;
  /** Name of the private layer of an `overlay`, on the instance's own disk: of another name, another layer. */
  layer: string;
}

export interface WorkloadSpec {
  /** `root` is the image's own. */
  id: string;
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  user: string;
  tty?: TerminalSize;
  stdin: 'open' | 'null';
  /** `retain`: output waits for a reader. `ring`: it goes on without one; the log has it all. */
  output: 'retain' | 'ring';
  stopSignal?: string;
  /** Not before the guest has been told that it is this one. `conflict` where the identity that is under way fails. */
  generation?: number;
}

export interface GuestExecSpec {
  execId: string;
  /** `vm`, or a workload's id. */
  target: string;
  argv: readonly string[];
  env: Record<string, string>;
  cwd?: string;
  user?: string;
  tty?: TerminalSize;
  /** False: the command reads end of file at once. */
  stdin: boolean;
  /** `ring`: its oldest output is given up where nobody reads. Default `retain`: it waits. */
  output?: 'retain' | 'ring';
}

/** Where to go on with a session whose connection was lost. */
export interface ResumePoint {
  stdout: bigint;
  stderr: bigint;
}

/** A session as the agent lists it. */
export interface GuestSession {
  execId: string;
  target: string;
  argv: string[];
  running: boolean;
  exit?: { code: number; signal?: string };
  pid: number;
  tty: boolean;
  /** Begun by the machine of which this guest is a copy. */
  orphaned: boolean;
  /** Offsets between which each output is held. */
  stdout: { from: number; to: number };
  stderr: { from: number; to: number };
}

/** {@link ExecConnection} with what is needed to go on after a lost connection. */
export interface GuestExecConnection extends ExecConnection {
  readonly pid: number;
  /** Bytes delivered so far on each output. */
  readonly delivered: Readonly<ResumePoint>;
  /** Stdin bytes the agent has taken. */
  readonly stdinAccepted: bigint;
  /** Lets go without killing: the session stays in the guest and can be resumed. */
  detach(): void;
}

export interface WorkloadExit {
  id: string;
  code: number;
  signal?: string;
  oom: boolean;
}

/** A guest that stands still, as {@link Guest.standStill} left it. */
export interface GuestAtRest {
  /** Sets the clock where it is told to, lets go what was frozen, and then sends what has waited. Does it once. */
  goOn(options?: { clockNanos?: bigint; signal?: AbortSignal }): Promise<void>;
}

/** What the engine says to the agent of one guest. Every call takes a deadline from its signal. */
export interface Guest extends AsyncDisposable {
  readonly agentVersion: string;
  /** Settles when the control channel is lost. */
  readonly closed: Promise<void>;
  ping(signal?: AbortSignal): Promise<void>;
  configure(
    config: GuestConfig,
    signal?: AbortSignal,
  ): Promise<{ stages: { name: string; milliseconds: number }[] }>;
  /** Answers when hooks have run, which may take 10 s each. `conflict` while another one is under way. Nothing is thawed by it. */
  identity(identity: RestoredIdentity, signal?: AbortSignal): Promise<void>;
  /**
   * Does once what the first start of a process does, and reads these files of the root (those that aren't there are passed over), so
   * that a guest that is saved afterwards starts its workload sooner.
   */
  warm(files: readonly string[], signal?: AbortSignal): Promise<void>;
  /** Sets the wall clock, in nanoseconds since 1970, and nothing else. */
  setClock(nanos: bigint, signal?: AbortSignal): Promise<void>;
  startWorkload(spec: WorkloadSpec, signal?: AbortSignal): Promise<{ pid: number }>;
  /** Undefined while it runs. */
  workloadExit(id: string, signal?: AbortSignal): Promise<WorkloadExit | undefined>;
  onWorkloadExit(listener: (exit: WorkloadExit) => void): () => void;
  signalWorkload(id: string, signalName: string): Promise<void>;
  /**
   * For a save: with `freeze` everything that runs code for the user stands still, and in any case nothing of ours is on its way to
   * the guest once this resolves, and nothing is sent or read until it goes on. (A VMM puts what comes on a port into the
   * guest's memory even while its vCPUs stand still, and a save must not be overtaken by that.) Calls made meanwhile wait, and
   * find a guest that runs again. When this rejects the guest goes on.
   */
  standStill(options: { freeze: boolean }, signal?: AbortSignal): Promise<GuestAtRest>;
  /**
   * Everything that runs code for the user stands still, and what it has printed is in the log. `guest_error` where something
   * does not within 2 s; then all goes on.
   */
  freeze(signal?: AbortSignal): Promise<void>;
  /** `generation`: as {@link WorkloadSpec.generation}. */
  thaw(signal?: AbortSignal, generation?: number): Promise<void>;
  exec(spec: GuestExecSpec, signal?: AbortSignal): Promise<GuestExecConnection>;
  /** Joins a session: the root workload's is `workload:root`. Without a point: from the oldest byte still held. */
  resumeExec(execId: string, from?: ResumePoint, signal?: AbortSignal): Promise<GuestExecConnection>;
  sessions(signal?: AbortSignal): Promise<GuestSession[]>;
  /** Looks at what is held of an output from an offset on, or from the oldest byte after it. `over`: nothing more will come. */
  readSession(
    execId: string,
    stream: 'stdout' | 'stderr',
    from: number,
    signal?: AbortSignal,
  ): Promise<{ from: number; data: Uint8Array; over: boolean }>;
  /** Resolves once more than up to these offsets has been printed, or nothing more will be. */
  awaitSession(
    execId: string,
    beyond: { stdout: number; stderr: number },
    signal?: AbortSignal,
  ): Promise<void>;
  signalSession(execId: string, signalName: string, signal?: AbortSignal): Promise<void>;
  closeSession(execId: string, signal?: AbortSignal): Promise<void>;
  /** Steps on the files of a target. */
  files(target: string): GuestFileCalls;
  copyIn(
    target: string,
    guestDir: string,
    tar: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<{ bytes: number; entries: number }>;
  copyOut(
    target: string,
    guestPath: string,
    options?: { followLinks?: boolean; signal?: AbortSignal },
  ): AsyncIterable<Uint8Array>;
  stat(target: string, guestPath: string, followLinks: boolean, signal?: AbortSignal): Promise<FileStat>;
  stats(signal?: AbortSignal): Promise<Omit<InstanceStats, 'at' | 'vmm'>>;
  connect(host: string, port: number, signal?: AbortSignal): Promise<Duplex>;
  growRoot(signal?: AbortSignal): Promise<void>;
  /** What was written is on the disks. */
  sync(signal?: AbortSignal): Promise<void>;
  /**
   * Mounts a volume that is plugged in, for workloads that run and for those to come. One that is mounted so already is left alone.
   * `not_supported` by an agent that knows no volumes.
   */
  mountVolume(volume: GuestVolume, signal?: AbortSignal): Promise<void>;
  /**
   * Takes a volume away from all workloads and lets go of its disk. `conflict` naming who uses it; then nothing has changed. One that
   * isn't mounted is no error.
   */
  unmountVolume(serial: string, options: { force: boolean }, signal?: AbortSignal): Promise<void>;
  /** After its disk has grown. */
  growVolume(serial: string, signal?: AbortSignal): Promise<void>;
  /** Those that are mounted. */
  volumes(signal?: AbortSignal): Promise<Pick<GuestVolume, 'serial' | 'path' | 'mode'>[]>;
  /** Resolves when the agent has agreed; the guest is off when the machine says so. */
  shutdown(options: { graceMs: number; signal?: AbortSignal }): Promise<void>;
}

/** Opens the channels of a machine, shakes hands under a new epoch, and answers once the agent does. */
export type ConnectGuest = (
  open: (channel: 'control' | 'bulk') => Promise<Duplex>,
  signal?: AbortSignal,
) => Promise<Guest>;
