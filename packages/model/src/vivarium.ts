import type { Duplex } from 'node:stream';
import type { State } from '@vivarium/lifecycle';
import type { ForkOptions, Snapshots, Templates, VmSnapshots } from './copies.ts';
import type { DaemonInfo } from './daemon.ts';
import type { EventOptions, InstanceEvent } from './events.ts';
import type { Exec, ExecConnection, ExecOffsets, ExecOptions, ResumableExecConnection } from './exec.ts';
import type {
  DirectoryOptions,
  FileAttributes,
  FileChange,
  FileEntry,
  ReadOptions,
  WatchOptions,
} from './files.ts';
import type { Forward, ForwardOptions } from './forward.ts';
import type { ImageInfo } from './image.ts';
import type {
  ActionResult,
  CreateOptions,
  InstanceInfo,
  InstanceStats,
  ListOptions,
  LogLine,
  LogOptions,
  Page,
  TerminalSize,
} from './instance.ts';
import type { VmLimits } from './limits.ts';
import type { Operations } from './operations.ts';
import type { Pools } from './pools.ts';
import type { AskOptions, CallOptions, MakingOptions, Task } from './progress.ts';
import type { Resources } from './resources.ts';
import type { HealthStatus, UpdateOptions } from './service.ts';
import type { VmSessions } from './sessions.ts';
import type { VmStandby } from './standby.ts';
import type { Tokens } from './tokens.ts';
import type { VmVolumes, Volumes } from './volumes.ts';

/** One virtual machine, by whichever door it was reached. */
export interface Vm extends AsyncDisposable {
  readonly id: string;
  readonly name: string;
  /** As of the last call that returned it; {@link Vm.refresh} asks again. */
  readonly info: InstanceInfo;
  refresh(options?: AskOptions): Promise<InstanceInfo>;

  /** VMM alive, guest not booted: Stopped -> Created. */
  prepare(options?: CallOptions): Task<ActionResult>;
  /**
   * From Suspended it goes on where it was saved. `cold`: the guest is booted, from no template, and saved memory is given up
   * (only once the guest is up). `cmd` and `entrypoint` replace the ones before for this start and all that follow, as at the
   * creation; refused where the guest does not boot.
   */
  start(options?: CallOptions & StartWith): Task<ActionResult>;
  /** Asks the guest, waits `timeoutMs` (default: the instance's), then forces. `force` skips the asking. */
  stop(options?: CallOptions & { timeoutMs?: number; force?: boolean }): Task<ActionResult>;
  /** Guest off, VMM kept: Running -> Shutdown. */
  shutdown(options?: CallOptions): Task<ActionResult>;
  pause(options?: CallOptions): Promise<ActionResult>;
  resume(options?: CallOptions): Promise<ActionResult>;
  /** Saves the memory and ends the VMM: Running or Paused -> Suspended. */
  suspend(options?: CallOptions): Task<ActionResult>;
  /** Gives saved memory up: Suspended -> Stopped. */
  discard(options?: CallOptions): Promise<ActionResult>;
  /** Copies it, as it is at this instant: processes go on in the copies from where they were. */
  fork(options?: ForkOptions & MakingOptions): Task<Vm[]>;
  readonly snapshots: VmSnapshots;
  readonly standby: VmStandby;
  readonly limits: VmLimits;
  readonly volumes: VmVolumes;
  restart(options?: CallOptions & { timeoutMs?: number }): Task<ActionResult>;
  /** A live VM is refused unless `force`. */
  delete(options?: CallOptions & { force?: boolean }): Task<void>;
  rename(name: string, options?: AskOptions): Promise<InstanceInfo>;
  /**
   * Changes what can be changed, all of it or nothing, with one event. @throws VivError `invalid_request`, `busy`, `invalid_state`
   * for a new expiry once the old one has passed, and what {@link Vm.rename} and {@link Vm.resizeDisk} throw.
   */
  update(options: UpdateOptions, call?: AskOptions): Promise<InstanceInfo>;
  /** Grows the root disk; at once when Running, at the next start otherwise. Shrinking is refused. */
  resizeDisk(size: number | string, options?: AskOptions): Promise<InstanceInfo>;

  /** Runs a command. See {@link Exec}. */
  exec(argv: readonly string[], options?: ExecOptions): Exec;
  /**
   * The session under {@link Vm.exec}, for doors that carry it further. `stdin: 'open-stream'` gives it a stdin, anything
   * else end of file; time-outs and buffers are the caller's. `execId` names it (default: a new id); none with a colon.
   */
  openExec?(
    argv: readonly string[],
    options?: ExecOptions & { execId?: string },
  ): Promise<ResumableExecConnection>;
  /**
   * Joins a session again, at the given offsets (default: the oldest byte still held). The entrypoint's is
   * `workload:root`. @throws VivError `not_found` where the guest has no such session, `conflict` where it no longer
   * holds those bytes.
   */
  resumeExec?(
    execId: string,
    from?: ExecOffsets,
    options?: { signal?: AbortSignal },
  ): Promise<ResumableExecConnection>;
  /** The entrypoint's own stdin and output, from the start of what is still held. */
  attach(options?: { signal?: AbortSignal; tty?: TerminalSize }): Promise<ExecConnection>;
  readonly files: VmFiles;
  /** The commands in it. */
  readonly sessions: VmSessions;
  logs(options?: LogOptions): AsyncIterable<LogLine>;
  stats(options?: AskOptions): Promise<InstanceStats>;
  /** The serial console, both ways, from now on. */
  console(options?: { signal?: AbortSignal }): Promise<Duplex>;
  /** A TCP connection to a port inside the guest, through the agent: no published port is needed. */
  connect(port: number, options?: { host?: string; signal?: AbortSignal }): Promise<Duplex>;
  /**
   * Listens on this machine and carries each connection to a port of the guest, as {@link Vm.connect} does.
   * @throws VivError `port_in_use`.
   */
  forward(guestPort: number, options?: ForwardOptions): Promise<Forward>;
  /** Resolves in one of the states; rejects with `invalid_state` where it can't be reached any more. Default deadline 60 s. */
  waitFor(
    states: State | State[],
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<InstanceInfo>;
  /**
   * Resolves once its health check says so; rejects with `invalid_state` where it has none, or will not run any more. Default
   * deadline 60 s.
   */
  waitForHealth(
    status?: HealthStatus['status'],
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<InstanceInfo>;
}

/** What a start may be told. */
export interface StartWith {
  cold?: boolean;
  cmd?: string[];
  entrypoint?: string[];
}

/** What lies at a path in the guest. */
export interface FileStat {
  path: string;
  kind: 'file' | 'directory' | 'symlink' | 'other';
  sizeBytes: number;
  /** Permission bits, setuid and sticky among them (0o7777). */
  mode: number;
  uid: number;
  gid: number;
  /** RFC 3339. */
  modifiedAt: string;
  linkTarget?: string;
}

export interface CopyOptions {
  signal?: AbortSignal;
  /** Follow a symbolic link at the source path. Default false. */
  followLinks?: boolean;
  /** Called with the bytes moved so far. */
  onBytes?: (bytes: number) => void;
}

/** Files of the image's workload. Paths are the guest's; relative ones start at the workload's working directory. */
export interface VmFiles {
  /** Copies a file or tree from this machine: `cp -a` rules, as `docker cp` does for existing and missing targets. */
  copyIn(
    hostPath: string,
    guestPath: string,
    options?: CopyOptions,
  ): Promise<{ bytes: number; entries: number }>;
  copyOut(
    guestPath: string,
    hostPath: string,
    options?: CopyOptions,
  ): Promise<{ bytes: number; entries: number }>;
  /** A tar stream unpacked below an existing directory of the guest. Entries that would leave it are refused. */
  putArchive(
    guestDir: string,
    tar: AsyncIterable<Uint8Array>,
    options?: CopyOptions,
  ): Promise<{ bytes: number; entries: number }>;
  /** A file or tree of the guest as a tar stream whose names start at the path's last component. */
  getArchive(guestPath: string, options?: CopyOptions): AsyncIterable<Uint8Array>;
  /** @throws VivError `path_not_found`. */
  stat(guestPath: string, options?: AskOptions & { followLinks?: boolean }): Promise<FileStat>;
  /** By name, in the order of their bytes. @throws VivError `path_not_found` where it is no directory. */
  list(guestPath: string, options?: AskOptions): Promise<FileEntry[]>;
  /** @throws VivError `conflict` where something is there already. */
  mkdir(guestPath: string, options?: DirectoryOptions): Promise<void>;
  /**
   * A file, link or empty directory; `recursive`: with all below it, up to 400 directories inside each other. Links are not followed,
   * and what is mounted is left alone. `force`: what is not there is no error.
   *
   * @throws VivError `path_not_found`, and `conflict` where a directory is not empty or in use.
   */
  remove(
    guestPath: string,
    options?: AskOptions & { recursive?: boolean; force?: boolean },
  ): Promise<{ removed: number }>;
  /** Within one file system, as `rename(2)` does. `replace`: default true; false: `conflict` where the target exists. */
  rename(from: string, to: string, options?: AskOptions & { replace?: boolean }): Promise<void>;
  setAttributes(guestPath: string, attributes: FileAttributes, options?: AskOptions): Promise<void>;
  /**
   * What happens at a path. Resolves once nothing is missed any more; the iteration ends with the signal. Whoever reads slowly
   * loses some, and is told so.
   *
   * @throws VivError `path_not_found`, also in the iteration once it is gone, `agent_unreachable` where the guest is lost.
   */
  watch(guestPath: string, options?: WatchOptions): Promise<AsyncIterable<FileChange>>;
  readFile(guestPath: string, options?: ReadOptions): Promise<Buffer>;
  writeFile(
    guestPath: string,
    data: string | Uint8Array,
    options?: AskOptions & { mode?: number; uid?: number; gid?: number },
  ): Promise<void>;
}

export interface Images {
  list(options?: AskOptions): Promise<ImageInfo[]>;
  /** By reference, digest or digest prefix. */
  get(reference: string, options?: AskOptions): Promise<ImageInfo>;
  /** `tags`, at most 50, replace those of the image. */
  pull(
    reference: string,
    options?: MakingOptions & { insecure?: boolean; tags?: Record<string, string> },
  ): Task<ImageInfo>;
  /** An OCI layout (directory or tar) or a `docker save` file. The reference names it where the archive doesn't. */
  import(path: string, options?: MakingOptions & { reference?: string }): Task<ImageInfo[]>;
  tag(reference: string, newReference: string, options?: AskOptions): Promise<ImageInfo>;
  /** Refused while an instance uses it; frees the layers no other image has. */
  remove(
    reference: string,
    options?: AskOptions,
  ): Promise<{ digest: string; untagged: string[]; deleted: boolean; freedBytes: number }>;
}

/** What this host can do, and what stands in the way. */
export interface DoctorReport {
  ok: boolean;
  checks: { name: string; status: 'ok' | 'warning' | 'failed'; message: string; hint?: string }[];
}

/** The whole of Vivarium: the in-process engine and the SDK over the daemon both are one of these. */
export interface Vivarium extends AsyncDisposable {
  readonly images: Images;
  readonly snapshots: Snapshots;
  readonly templates: Templates;
  readonly pools: Pools;
  readonly resources: Resources;
  /** Only of a daemon. */
  readonly tokens?: Tokens;
  readonly operations: Operations;
  readonly volumes: Volumes;
  /** Makes an instance without starting it; pulls the image when it is missing. */
  create(options: CreateOptions, call?: MakingOptions): Task<Vm>;
  /** Create and start. On failure nothing is left behind. */
  run(image: string, options?: Omit<CreateOptions, 'image'>, call?: MakingOptions): Task<Vm>;
  /** By exact id, then exact name, then id prefix. @throws VivError `not_found` or `ambiguous`. */
  get(idOrName: string, options?: AskOptions): Promise<Vm>;
  list(options?: ListOptions): Promise<Page<InstanceInfo>>;
  /** Every instance, page after page. */
  all(options?: Omit<ListOptions, 'cursor'>): AsyncIterable<InstanceInfo>;
  /** Stored events after `since` (default: from now), then new ones as they come. None is lost or comes twice. */
  events(options?: EventOptions): AsyncIterable<InstanceEvent>;
  doctor(options?: AskOptions & { rebuild?: boolean }): Promise<DoctorReport>;
  /** Who answers. Only of a daemon. */
  daemon?(options?: AskOptions): Promise<DaemonInfo>;
}
