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
}

/** Signals whose default action leaves a process running. */
const harmless: ReadonlySet<string> = new Set(['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH']);

/** A program under way, with pipes and signals. */
export class SimulatedProcess {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  readonly #spec: ProcessSpec;
  readonly #end: PromiseWithResolvers<ProcessExit> = Promise.withResolvers();
  readonly #killed = new AbortController();
  readonly #stdin: Buffer[] = [];
  #stdinOpen: boolean;
  #stdinWaiter: (() => void) | undefined;
  #thaw: PromiseWithResolvers<void> | undefined;
  #exit: ProcessExit | undefined;

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
    this.pid = spec.pid;
    this.#stdinOpen = spec.stdin;
    this.exited = this.#end.promise;
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

  freeze(): void {
    this.#thaw ??= Promise.withResolvers();
  }

  thaw(): void {
    this.#thaw?.resolve();
    this.#thaw = undefined;
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
    const { argv, env, cwd, user, hostname, clock } = this.#spec;
    return {
      argv,
      env,
      cwd,
      user,
      hostname,
      read: () => this.#read(),
      out: (text) => this.#write(this.#spec.stdout, text),
      err: (text) => this.#write(this.#spec.stderr, text),
      sleep: async (milliseconds) => {
        await clock.sleep(milliseconds, this.#killed.signal);
        await this.#alive();
      },
    };
  }

  async #read(): Promise<Buffer | undefined> {
    while (this.#stdin.length === 0 && this.#stdinOpen && this.#exit === undefined) {
      await new Promise<void>((resolve) => {
        this.#stdinWaiter = resolve;
      });
    }
    await this.#alive();
    const chunk = this.#stdin.shift();
    if (chunk !== undefined) this.#spec.read(chunk.length);
    return chunk;
  }

  async #write(output: SessionOutput, text: string | Buffer): Promise<void> {
    await this.#alive();
    const blocked = output.write(typeof text === 'string' ? Buffer.from(text) : text);
    this.#spec.changed();
    // A program that never waits must still let others run.
    await (blocked ?? new Promise((resolve) => setImmediate(resolve)));
    await this.#alive();
  }

  /** Waits while it is frozen; throws once it is dead. */
  async #alive(): Promise<void> {
    while (this.#thaw !== undefined && this.#exit === undefined) {
      await Promise.race([this.#thaw.promise, this.exited]);
    }
    if (this.#exit !== undefined) throw new Error('killed');
  }
}
