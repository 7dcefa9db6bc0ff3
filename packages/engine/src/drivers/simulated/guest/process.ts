import { constants } from 'node:os';
import type { SimulatedClock } from './clock.ts';
import type { Program, ProgramIo } from './programs.ts';
import type { SessionOutput } from './session-output.ts';

export interface ProcessExit {
  code: number;
  signal?: string;
}

export interface ProcessSpec {
  pid: number;
  program: Program;
  argv: readonly string[];
  env: Record<string, string>;
  cwd: string;
  user: string;
  hostname: string;
  stdin: boolean;
  stdout: SessionOutput;
  stderr: SessionOutput;
  clock: SimulatedClock;
  /** Output was written or closed. */
  changed(): void;
  /** So many bytes of stdin were read. */
  read(bytes: number): void;
  /** What it was in another memory: the program is run anew and told again what it was told there, up to where it was. */
  from?: ProcessMemory;
}

/**
 * A process by value. A program under way can't be looked into, but all it knows it was told by its calls: those, told again,
 * bring another one to the same place. It makes one call at a time and asks nobody else.
 */
export interface ProcessMemory {
  pid: number;
  exit: ProcessExit | undefined;
  stdin: Buffer[];
  stdinOpen: boolean;
  /** Calls that were answered. */
  answered: number;
  /** What its reads gave; undefined: the end. */
  reads: (Buffer | undefined)[];
  /** Of the call it waits in. */
  sleepLeftMs: number | undefined;
  written: boolean;
}

/** A process that has read more can't be saved: nobody keeps all that. */
const mostReadBytes = 4 * 2 ** 20;

/** What a process may be held by: the agent's freezer, and vCPUs that stand still. */
export type Hold = 'freezer' | 'vcpus';

/** Signals whose default action leaves a process running. */
const harmless: ReadonlySet<string> = new Set(['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH']);

/** A program under way, with pipes and signals. */
export class SimulatedProcess {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  readonly #spec: ProcessSpec;
  readonly #end: PromiseWithResolvers<ProcessExit> = Promise.withResolvers();
  readonly #killed = new AbortController();
  readonly #stdin: Buffer[];
  #stdinOpen: boolean;
  #stdinWaiter: (() => void) | undefined;
  readonly #held = new Set<Hold>();
  #letGo: PromiseWithResolvers<void> | undefined;
  #exit: ProcessExit | undefined;
  #past: Pick<ProcessMemory, 'answered' | 'reads' | 'sleepLeftMs' | 'written'>;
  #calls = 0;
  #retold = 0;
  #readBytes = 0;
  #wakesAt: number | undefined;

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
    const { from } = spec;
    this.pid = spec.pid;
    this.#stdinOpen = from?.stdinOpen ?? spec.stdin;
    this.#stdin = from?.stdin ?? [];
    this.#past = from ?? { answered: 0, reads: [], sleepLeftMs: undefined, written: false };
    this.exited = this.#end.promise;
    if (from?.exit !== undefined) {
      this.#exit = from.exit;
      this.#end.resolve(from.exit);
      return;
    }
    // Not in the turn of the request: its response comes first.
    setImmediate(() => this.#run());
  }

  get exit(): ProcessExit | undefined {
    return this.#exit;
  }

  feed(data: Buffer): void {
    if (!this.#stdinOpen || this.#exit !== undefined) {
      this.#spec.read(data.length);
      return;
    }
    this.#stdin.push(data);
    this.#stdinWaiter?.();
  }

  endStdin(): void {
    this.#stdinOpen = false;
    this.#stdinWaiter?.();
  }

  /** Answers false for a name that is no signal. */
  signal(name: string): boolean {
    const number = (constants.signals as Record<string, number>)[name];
    if (number === undefined) return false;
    if (!harmless.has(name)) this.#finish({ code: 128 + number, signal: name });
    return true;
  }

  /** It waits in its next call, or in the one it is in. */
  hold(by: Hold): void {
    this.#held.add(by);
    this.#letGo ??= Promise.withResolvers();
  }

  letGo(by: Hold): void {
    this.#held.delete(by);
    if (this.#held.size > 0) return;
    this.#letGo?.resolve();
    this.#letGo = undefined;
  }

  /** @throws Error where it has read too much. */
  save(): ProcessMemory {
    if (this.#readBytes > mostReadBytes)
      throw new Error(`${this.#spec.argv[0]} has read more than can be kept`);
    const { answered, reads, sleepLeftMs, written } = this.#past;
    const left = this.#wakesAt === undefined ? sleepLeftMs : this.#wakesAt - this.#spec.clock.now();
    return {
      pid: this.pid,
      exit: this.#exit,
      stdin: this.#stdin,
      stdinOpen: this.#stdinOpen,
      answered,
      reads,
      sleepLeftMs: left === undefined ? undefined : Math.max(0, left),
      written,
    };
  }

  #run(): void {
    this.#spec.program(this.#io()).then(
      (code) => this.#finish({ code }),
      (error) => {
        if (this.#exit !== undefined) return; // The program noticed that it was killed.
        void this.#spec.stderr.write(Buffer.from(`${this.#spec.argv[0]}: ${error}\n`));
        this.#finish({ code: 1 });
      },
    );
  }

  #finish(exit: ProcessExit): void {
    if (this.#exit !== undefined) return;
    this.#exit = exit;
    this.#past.reads = [];
    this.#killed.abort();
    this.#stdinWaiter?.();
    const unread = this.#stdin.splice(0).reduce((sum, chunk) => sum + chunk.length, 0);
    if (unread > 0) this.#spec.read(unread);
    this.#spec.stdout.close();
    this.#spec.stderr.close();
    this.#spec.changed();
    this.#end.resolve(exit);
  }

  #io(): ProgramIo {
    const { argv, env, cwd, user, hostname } = this.#spec;
    return {
      argv,
      env,
      cwd,
      user,
      hostname,
      read: () =>
        this.#call(
          () => this.#read(),
          () => this.#past.reads[this.#retold++],
        ),
      out: (text) =>
        this.#call(
          () => this.#write(this.#spec.stdout, text),
          () => undefined,
        ),
      err: (text) =>
        this.#call(
          () => this.#write(this.#spec.stderr, text),
          () => undefined,
        ),
      sleep: (milliseconds) =>
        this.#call(
          () => this.#sleep(milliseconds),
          () => undefined,
        ),
    };
  }

  async #call<T>(make: () => Promise<T>, again: () => T): Promise<T> {
    if (this.#calls++ < this.#past.answered) return again();
    const value = await make();
    this.#past.answered += 1;
    this.#past.written = false;
    this.#past.sleepLeftMs = undefined;
    return value;
  }

  async #sleep(milliseconds: number): Promise<void> {
    const { clock } = this.#spec;
    const left = this.#past.sleepLeftMs ?? milliseconds;
    this.#wakesAt = clock.now() + left;
    await clock.sleep(left, this.#killed.signal);
    await this.#alive();
    this.#wakesAt = undefined;
  }

  async #read(): Promise<Buffer | undefined> {
    while (this.#stdin.length === 0 && this.#stdinOpen && this.#exit === undefined) {
      await new Promise<void>((resolve) => {
        this.#stdinWaiter = resolve;
      });
    }
    await this.#alive();
    const chunk = this.#stdin.shift();
    this.#readBytes += chunk?.length ?? 0;
    if (this.#readBytes > mostReadBytes) this.#past.reads.length = 0;
    else this.#past.reads.push(chunk);
    if (chunk !== undefined) this.#spec.read(chunk.length);
    return chunk;
  }

  async #write(output: SessionOutput, text: string | Buffer): Promise<void> {
    await this.#alive();
    if (!this.#past.written) output.write(typeof text === 'string' ? Buffer.from(text) : text);
    this.#past.written = true;
    this.#spec.changed();
    const blocked = output.room();
    // A program that never waits must still let others run.
    await (blocked ?? new Promise((resolve) => setImmediate(resolve)));
    await this.#alive();
  }

  /** Waits while it is frozen; throws once it is dead. */
  async #alive(): Promise<void> {
    while (this.#letGo !== undefined && this.#exit === undefined) {
      await Promise.race([this.#letGo.promise, this.exited]);
    }
    if (this.#exit !== undefined) throw new Error('killed');
  }
}
