import type { DiskSpec } from '../../driver.ts';
import type { SimulatedClock } from './clock.ts';
import { FileTree, Refusal } from './file-tree.ts';
import { GuestLog } from './guest-log.ts';
import type { GuestMemory } from './guest-memory.ts';
import { type ProcessExit, SimulatedProcess } from './process.ts';
import { builtInPrograms, type Program } from './programs.ts';
import { type SessionMemory, SimulatedSession, type StartSpec } from './session.ts';
import { type OutputMemory, SessionOutput } from './session-output.ts';
import { GuestVolumes } from './volumes.ts';

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
  /** Volumes that are plugged in, by serial. */
  disks: ReadonlyMap<string, DiskSpec>;
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
  /** What it was told to count time by. */
  clockSource?: string;
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
  /** The one it counts time by comes first. */
  clockSources = ['tsc', 'acpi_pm'];
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
  #startedAt: number;
  #log: GuestLog | undefined;
  #nextPid = 100;
  #ended = false;
  #goesDown = false;
  #halted = false;
  readonly #whenItRuns: (() => void)[] = [];
  readonly volumes: GuestVolumes;

  constructor(outside: SystemSurroundings) {
    this.#outside = outside;
    this.#startedAt = outside.clock.now();
    this.volumes = new GuestVolumes(outside.disks, (target) => this.#treeOf(target));
  }

  /** The inside of a guest as another one was. Its vCPUs stand still. */
  static from(outside: SystemSurroundings, memory: GuestMemory): GuestSystem {
    const system = new GuestSystem(outside);
    system.#takeOver(memory);
    return system;
  }

  /** @throws Error where a process can't be kept. */
  save(): Omit<GuestMemory, 'bootId'> {
    const { hostname, generation, clockNanos, clockSources } = this;
    const { configured, frozen, identities, warmed } = this;
    // As a pause flushes the disks: another machine may have them next.
    this.volumes.sync();
    const listed = new Set(this.sessions.values());
    const ofWorkloads = [...this.workloads.values()].flatMap(({ session }) => session ?? []);
    // The others first: their names may be taken again by those that are listed.
    const known = [...ofWorkloads.filter((session) => !listed.has(session)), ...listed];
    return {
      ...{ hostname, generation, clockNanos, clockSources, configured, frozen, identities, warmed },
      nextPid: this.#nextPid,
      upMs: this.clock.now() - this.#startedAt,
      goesDown: this.#goesDown,
      log: this.#log?.save(),
      volumes: this.volumes.list(),
      trees: new Map([...this.#trees].map(([target, tree]) => [target, tree.root])),
      sessions: known.map((session) => ({ listed: listed.has(session), memory: session.save() })),
      workloads: [...this.workloads.values()].map(({ id, stopSignal, session }) => ({
        ...{ id, stopSignal },
        session: session && known.indexOf(session),
      })),
    };
  }

  /** The vCPUs stand still: no process takes another step. */
  halt(): void {
    this.#halted = true;
    for (const session of this.sessions.values()) session.process?.hold('vcpus');
  }

  go(): void {
    if (!this.#halted) return;
    this.#halted = false;
    for (const session of this.sessions.values()) session.process?.letGo('vcpus');
    for (const goOn of this.#whenItRuns.splice(0)) goOn();
  }

  get clock(): SimulatedClock {
    return this.#outside.clock;
  }

  /** The files a target sees. @throws Refusal `not_found`. */
  tree(target: string): FileTree {
    this.#expectTarget(target);
    return this.#treeOf(target);
  }

  /** Whoever stands in a directory or below it: a process by its name. */
  userOf(path: string): string | undefined {
    const inside = (cwd = '/') => cwd === path || cwd.startsWith(`${path}/`);
    const user = [...this.sessions.values()].find(
      ({ exit, spec }) => exit === undefined && inside(spec.start.cwd),
    );
    return user && `${user.spec.start.argv[0]} (pid ${user.process?.pid})`;
  }

  #treeOf(target: string): FileTree {
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

  /** The machine has become a copy: who began these is with the other one. */
  orphanSessions(): void {
    const own = new Set([...this.workloads.values()].map(({ session }) => session));
    for (const session of this.sessions.values()) session.orphaned ||= !own.has(session);
  }

  freeze(): void {
    this.frozen = true;
    for (const session of this.sessions.values()) session.process?.hold('freezer');
  }

  thaw(): void {
    this.frozen = false;
    for (const session of this.sessions.values()) session.process?.letGo('freezer');
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
    this.#goesDown = true;
    const running = [...this.workloads.values()].filter((workload) => workload.session?.exit === undefined);
    for (const workload of running) workload.session?.process?.signal(workload.stopSignal);
    const gone = Promise.all(running.map((workload) => workload.session?.process?.exited));
    await Promise.race([gone, this.clock.sleep(graceMs)]);
    // A turn of its own, so that the last answers have left.
    await new Promise((resolve) => setImmediate(resolve));
    this.volumes.sync();
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
    this.volumes.sync();
    for (const session of this.sessions.values()) session.process?.signal('SIGKILL');
  }

  #takeOver(memory: GuestMemory): void {
    const { hostname, generation, clockNanos, clockSources, configured, frozen, warmed } = memory;
    Object.assign(this, { hostname, generation, clockNanos, clockSources, configured, frozen, warmed });
    this.identities.push(...memory.identities);
    this.#nextPid = memory.nextPid;
    this.#startedAt = this.clock.now() - memory.upMs;
    this.#halted = true;
    if (memory.log !== undefined) this.#log = new GuestLog(this.clock, this.#outside.log, memory.log);
    for (const [target, root] of memory.trees) this.#trees.set(target, new FileTree(root));
    for (const volume of memory.volumes ?? []) this.volumes.mount(volume);
    const sessions = memory.sessions.map(({ listed, memory: session }) => {
      const { start, logged } = session;
      const taken = this.#startSession(start, this.#program(start), logged, session);
      if (!listed) this.sessions.delete(start.execId);
      return taken;
    });
    for (const { id, stopSignal, session: index } of memory.workloads) {
      const session = index === undefined ? undefined : sessions[index];
      this.workloads.set(id, { id, stopSignal, session });
      if (session?.exit === undefined) session?.process?.exited.then((exit) => this.#workloadEnded(id, exit));
      else if (id === 'root') this.#whenItRuns.push(() => void this.#powerOffUnasked());
    }
    if (memory.goesDown) this.#whenItRuns.push(() => void this.shutdown(0));
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

  #startSession(start: StartSpec, program: Program, logged: boolean, from?: SessionMemory): SimulatedSession {
    const { execId, argv, tty } = start;
    if (this.sessions.has(execId)) throw new Refusal('conflict', `session ${execId} exists already`);
    const output = (stream: 'stdout' | 'stderr') =>
      this.#output(stream, start.output, logged, from?.[stream]);
    const [stdout, stderr] = [output('stdout'), output('stderr')];
    const hostname = from?.hostname ?? this.hostname;
    const session = new SimulatedSession({ start, logged, hostname, stdout, stderr }, from ?? { size: tty });
    session.process = new SimulatedProcess({
      pid: from?.process?.pid ?? this.#nextPid++,
      from: from?.process,
      program,
      argv,
      env: start.env,
      cwd: start.cwd ?? '/',
      user: start.user ?? '',
      hostname,
      stdin: start.stdin,
      stdout,
      stderr: tty === undefined ? stderr : stdout,
      clock: this.clock,
      changed: () => session.pump(),
      read: (bytes) => session.stdinRead(bytes),
    });
    if (this.frozen) session.process.hold('freezer');
    if (this.#halted) session.process.hold('vcpus');
    this.sessions.set(execId, session);
    session.process.exited.then(() => this.#forgetOldest());
    return session;
  }

  #output(
    stream: 'stdout' | 'stderr',
    mode: 'retain' | 'ring',
    logged: boolean,
    from: OutputMemory | undefined,
  ): SessionOutput {
    if (!logged) return new SessionOutput(mode, undefined, from);
    this.#log ??= new GuestLog(this.clock, this.#outside.log);
    const log = this.#log;
    return new SessionOutput(mode, (data) => log.output(stream, data), from);
  }

  #forgetOldest(): void {
    const finished = [...this.sessions.values()].filter((session) => session.exit !== undefined);
    for (const session of finished.slice(0, -maxFinishedSessions))
      this.sessions.delete(session.spec.start.execId);
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
