import type { SimulatedClock } from './clock.ts';
import { FileTree, Refusal } from './file-tree.ts';
import { GuestLog } from './guest-log.ts';
import { type ProcessExit, SimulatedProcess } from './process.ts';
import { builtInPrograms, type Program } from './programs.ts';
import { SimulatedSession } from './session.ts';
import { SessionOutput } from './session-output.ts';

/** What the inside of a guest needs of its outside. */
export interface SystemSurroundings {
  programs: Readonly<Record<string, Program>>;
  clock: SimulatedClock;
  memoryBytes: number;
  /** To the log port. */
  log(lines: string): void;
  /** An event on stream 0 of the control port, if a host is there. */
  event(name: string, fields: object): void;
  powerOff(): void;
}

export interface StartSpec {
  execId: string;
  target: string;
  argv: readonly string[];
  env: Record<string, string>;
  cwd?: string;
  user?: string;
  tty?: { rows: number; cols: number };
  stdin: boolean;
  output: 'retain' | 'ring';
}

interface Workload {
  readonly id: string;
  readonly stopSignal: string;
  readonly session: SimulatedSession | undefined;
}

/** What a guest was told that it is, by `configure` or `identity`. */
export interface ToldIdentity {
  hostname: string;
  machineId: string;
  generation: number;
  /** IPv4 address with its prefix. */
  address: string | undefined;
  copy: boolean;
  resetConnections: boolean;
}

/** A guest powers itself off when its root workload has ended and no host asks within this time. */
const orphanMs = 5_000;
const maxFinishedSessions = 64;
const knownUsers: ReadonlySet<string> = new Set(['', 'root', 'nobody', 'daemon']);

/** The inside of a simulated guest: identity, workloads, processes, sessions and files. */
export class GuestSystem {
  hostname = '(none)';
  generation = 0;
  /** Wall clock, as it was told last. */
  clockNanos = 0n;
  configured = false;
  frozen = false;
  /** Every identity told so far, the first by `configure`. */
  readonly identities: ToldIdentity[] = [];
  /** How often it was warmed. */
  warmed = 0;
  readonly sessions = new Map<string, SimulatedSession>();
  readonly workloads = new Map<string, Workload>();
  readonly #outside: SystemSurroundings;
  readonly #trees = new Map<string, FileTree>();
  readonly #startedAt: number;
  #log: GuestLog | undefined;
  #nextPid = 100;
  #ended = false;

  constructor(outside: SystemSurroundings) {
    this.#outside = outside;
    this.#startedAt = outside.clock.now();
  }

  get clock(): SimulatedClock {
    return this.#outside.clock;
  }

  /** The files a target sees. @throws Refusal `not_found`. */
  tree(target: string): FileTree {
    this.#expectTarget(target);
    const tree = this.#trees.get(target) ?? new FileTree();
    this.#trees.set(target, tree);
    return tree;
  }

  /** The session of that name. @throws Refusal `not_found`. */
  session(execId: string): SimulatedSession {
    const session = this.sessions.get(execId);
    if (session === undefined) throw new Refusal('not_found', `no session ${execId}`);
    return session;
  }

  workload(id: string): Workload {
    const workload = this.workloads.get(id);
    if (workload === undefined) throw new Refusal('not_found', `no workload ${id}`);
    return workload;
  }

  /** Starts a workload; without argv it has no process. @throws Refusal. */
  startWorkload(id: string, start: StartSpec, stopSignal: string): { pid: number; execId: string } {
    if (!this.configured) throw new Refusal('conflict', 'the guest is not configured');
    if (this.workloads.has(id)) throw new Refusal('conflict', `workload ${id} exists already`);
    if (start.argv.length === 0) {
      this.workloads.set(id, { id, stopSignal, session: undefined });
      return { pid: 0, execId: start.execId };
    }
    const program = this.#program(start);
    // Entered first: its own root is the target.
    const session = this.#startSession(start, program, id === 'root');
    this.workloads.set(id, { id, stopSignal, session });
    session.process?.exited.then((exit) => this.#workloadEnded(id, exit));
    return { pid: session.process?.pid ?? 0, execId: start.execId };
  }

  /** Starts a command. @throws Refusal `conflict`, `not_found`, `command_not_found`, `user_not_found`. */
  start(start: StartSpec): SimulatedSession {
    this.#expectTarget(start.target);
    if (this.frozen) throw new Refusal('conflict', `${start.target} is frozen`);
    return this.#startSession(start, this.#program(start), false);
  }

  freeze(): void {
    this.frozen = true;
    for (const session of this.sessions.values()) session.process?.freeze();
  }

  thaw(): void {
    this.frozen = false;
    for (const session of this.sessions.values()) session.process?.thaw();
  }

  /** Kills what still runs in a session, and forgets it. */
  close(execId: string): void {
    const session = this.session(execId);
    this.sessions.delete(execId);
    session.process?.signal('SIGKILL');
    session.drop();
  }

  /** Asks the workloads to end, ends them after the grace, and switches off. */
  async shutdown(graceMs: number): Promise<void> {
    const running = [...this.workloads.values()].filter((workload) => workload.session?.exit === undefined);
    for (const workload of running) workload.session?.process?.signal(workload.stopSignal);
    const gone = Promise.all(running.map((workload) => workload.session?.process?.exited));
    await Promise.race([gone, this.clock.sleep(graceMs)]);
    // A turn of its own, so that the last answers have left.
    await new Promise((resolve) => setImmediate(resolve));
    this.#outside.powerOff();
  }

  stats(): object {
    const running = [...this.sessions.values()].filter((session) => session.exit === undefined).length;
    const total = this.#outside.memoryBytes;
    const used = Math.min(total, 24 * 1024 * 1024 + running * 1024 * 1024);
    return {
      cpuNanos: Math.max(0, Math.round((this.clock.now() - this.#startedAt) * 1e4)),
      memory: { total, used, available: total - used },
      disk: { total: 10 * 1024 ** 3, used: 32 * 1024 ** 2, read: 0, written: 0 },
      network: { received: 0, sent: 0 },
      processes: 1 + running,
    };
  }

  /** All processes end, as when the power goes. */
  end(): void {
    this.#ended = true;
    for (const session of this.sessions.values()) session.process?.signal('SIGKILL');
  }

  #expectTarget(target: string): void {
    if (target !== 'vm' && !this.workloads.has(target))
      throw new Refusal('not_found', `no workload ${target}`);
  }

  #program(start: StartSpec): Program {
    const user = (start.user ?? '').split(':')[0] ?? '';
    if (!knownUsers.has(user) && !/^\d+$/.test(user)) throw new Refusal('user_not_found', `no user ${user}`);
    const command = start.argv[0] ?? '';
    const name = command.split('/').at(-1) ?? '';
    const program = Object.hasOwn(this.#outside.programs, name)
      ? this.#outside.programs[name]
      : builtInPrograms[name];
    if (program === undefined) throw new Refusal('command_not_found', `${command}: not found`, 2);
    return program;
  }

  #startSession(start: StartSpec, program: Program, logged: boolean): SimulatedSession {
    const { execId, target, argv, tty } = start;
    if (this.sessions.has(execId)) throw new Refusal('conflict', `session ${execId} exists already`);
    const stdout = logged ? this.#loggedOutput('stdout', start.output) : new SessionOutput(start.output);
    const stderr = logged ? this.#loggedOutput('stderr', start.output) : new SessionOutput(start.output);
    const session = new SimulatedSession({ execId, target, argv, tty: tty !== undefined, stdout, stderr });
    session.size = tty;
    session.process = new SimulatedProcess({
      pid: this.#nextPid++,
      program,
      argv,
      env: start.env,
      cwd: start.cwd ?? '/',
      user: start.user ?? '',
      hostname: this.hostname,
      stdin: start.stdin,
      stdout,
      stderr: tty === undefined ? stderr : stdout,
      clock: this.clock,
      changed: () => session.pump(),
      read: (bytes) => session.stdinRead(bytes),
    });
    this.sessions.set(execId, session);
    session.process.exited.then(() => this.#forgetOldest());
    return session;
  }

  #loggedOutput(stream: 'stdout' | 'stderr', mode: 'retain' | 'ring'): SessionOutput {
    this.#log ??= new GuestLog(this.clock, this.#outside.log);
    const log = this.#log;
    return new SessionOutput(mode, (data) => log.output(stream, data));
  }

  #forgetOldest(): void {
    const finished = [...this.sessions.values()].filter((session) => session.exit !== undefined);
    for (const session of finished.slice(0, -maxFinishedSessions)) this.sessions.delete(session.spec.execId);
  }

  #workloadEnded(id: string, exit: ProcessExit): void {
    if (this.#ended) return;
    this.#outside.event('workload.exit', { id, ...exit, oom: false });
    if (id !== 'root') return;
    this.#log?.exit({ id, ...exit, oom: false });
    void this.#powerOffUnasked();
  }

  async #powerOffUnasked(): Promise<void> {
    await this.clock.sleep(orphanMs);
    if (!this.#ended) this.#outside.powerOff();
  }
}
