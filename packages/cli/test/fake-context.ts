import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import type { Context, Input, Output, SignalName } from '../src/context.ts';
import { processContext } from '../src/process-context.ts';
import { runProgram } from '../src/program.ts';
import { FakeVivarium } from './fake-vivarium.ts';

export interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

export interface FakeOptions {
  vivarium?: FakeVivarium;
  /** Written to stdin, which then ends; absent: it stays open. */
  input?: string;
  /** All three are a terminal of this width. */
  columns?: number;
  env?: NodeJS.ProcessEnv;
}

/** A terminal or pipes in memory, and a way to press Ctrl-C. */
export class FakeTerminal {
  readonly vivarium: FakeVivarium;
  readonly stdin: PassThrough & Input = new PassThrough();
  readonly stdout: PassThrough & Output = new PassThrough();
  readonly stderr: PassThrough & Output = new PassThrough();
  readonly rawModes: boolean[] = [];
  readonly context: Context;
  #out = '';
  #err = '';
  #watchers: (() => void)[] = [];

  constructor(options: FakeOptions = {}) {
    this.vivarium = options.vivarium ?? new FakeVivarium();
    if (options.columns !== undefined) {
      for (const stream of [this.stdin, this.stdout, this.stderr]) stream.isTTY = true;
      for (const stream of [this.stdout, this.stderr])
        Object.assign(stream, { columns: options.columns, rows: 24 });
      this.stdin.setRawMode = (raw) => void this.rawModes.push(raw);
    }
    if (options.input !== undefined) this.stdin.end(options.input);
    this.stdout.on('data', (data: Buffer) => {
      this.#out += data.toString();
      for (const watcher of this.#watchers) watcher();
    });
    this.stderr.on('data', (data: Buffer) => {
      this.#err += data.toString();
    });
    const { stdin, stdout, stderr, vivarium } = this;
    const env = options.env ?? {};
    this.context = processContext({ stdin, stdout, stderr, env, connect: async () => vivarium });
  }

  get output(): string {
    return this.#out;
  }

  /** Resolves once stdout holds the text. */
  shows(text: string): Promise<void> {
    return new Promise((resolve) => {
      const check = () => this.#out.includes(text) && resolve();
      this.#watchers.push(check);
      check();
    });
  }

  /** Sends a signal to this process, as a terminal's driver would. */
  signal(name: SignalName): void {
    process.emit(name as 'SIGINT', name as 'SIGINT');
  }

  async run(...argv: string[]): Promise<Outcome> {
    try {
      return { status: await runProgram(this.context, argv), stdout: this.#out, stderr: this.#err };
    } finally {
      await this.context[Symbol.asyncDispose]();
    }
  }
}

/** One command line against a fake, to its end. */
export function viv(argv: string[], options: FakeOptions = {}): Promise<Outcome> {
  return new FakeTerminal(options).run(...argv);
}

/** Command lines one after another, each of which must work; answers what the last one printed. */
export async function vivEach(vivarium: FakeVivarium, ...lines: string[][]): Promise<string> {
  let printed = '';
  for (const line of lines) {
    const { status, stdout, stderr } = await viv(line, { vivarium });
    assert.equal(status, 0, `${line.join(' ')}: ${stderr}`);
    printed = stdout;
  }
  return printed;
}
