import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import path from 'node:path';
import { SetupError } from './command.ts';

/** What a running step may say. */
export interface StepHandle {
  /** Shown beside the step's title while it runs; on a terminal only. */
  note(text: string): void;
  /** Kept in the log; shown when the step fails. */
  log(chunk: Buffer | string): void;
}

interface Line {
  title: string;
  state: 'running' | 'done' | 'failed';
  note: string;
  startedAt: number;
  milliseconds: number;
}

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const tailLines = 20;

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

/**
 * The progress of set-up: a live list of steps on a terminal, one line per finished step elsewhere. It writes to stderr, so
 * that the output of the command behind it stays clean. Steps may run side by side.
 */
export class Checklist {
  readonly #out: NodeJS.WriteStream;
  readonly #live: boolean;
  readonly #file: WriteStream;
  readonly #logPath: string;
  readonly #lines: Line[] = [];
  #drawn = 0;
  #frame = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    logPath: string,
    out: NodeJS.WriteStream = process.stderr,
    env: NodeJS.ProcessEnv = process.env,
  ) {
    mkdirSync(path.dirname(logPath), { recursive: true });
    this.#out = out;
    this.#live = out.isTTY === true && env.TERM !== 'dumb' && !env.CI;
    this.#logPath = logPath;
    this.#file = createWriteStream(logPath);
  }

  /** A line of its own above the steps. */
  say(text: string): void {
    this.#erase();
    this.#out.write(`${text}\n`);
    this.#file.write(`${text}\n`);
    this.#draw();
  }

  /** Runs one step. @throws SetupError that names the step and shows the end of its log. */
  async step<T>(title: string, work: (step: StepHandle) => Promise<T>): Promise<T> {
    const line: Line = { title, state: 'running', note: '', startedAt: performance.now(), milliseconds: 0 };
    let tail = '';
    this.#lines.push(line);
    this.#draw();
    const finish = (state: Line['state']): void => {
      line.state = state;
      line.milliseconds = performance.now() - line.startedAt;
      this.#file.write(`== ${title}: ${state} after ${seconds(line.milliseconds)}\n`);
      if (!this.#live) this.#out.write(`${this.#text(line)}\n`);
      this.#draw();
    };
    try {
      const result = await work({
        note: (text) => {
          line.note = text;
        },
        log: (chunk) => {
          this.#file.write(chunk);
          tail = (tail + chunk.toString()).slice(-8192);
        },
      });
      finish('done');
      return result;
    } catch (cause) {
      finish('failed');
      throw this.#failure(title, tail, cause);
    }
  }

  #failure(title: string, tail: string, cause: unknown): SetupError {
    const known = cause instanceof SetupError ? cause : undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const lines = tail.trimEnd().split('\n').slice(-tailLines);
    const shown = tail.trim() === '' ? '' : `\n${lines.map((line) => `    ${line}`).join('\n')}`;
    return new SetupError(`${title}: ${reason}${shown}\n    (whole log: ${this.#logPath})`, {
      hint: known?.hint,
      exitStatus: known?.exitStatus,
      cause,
    });
  }

  /** Stops drawing and closes the log. */
  async close(): Promise<void> {
    this.#draw();
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#drawn = 0;
    await new Promise<void>((resolve) => {
      this.#file.end(resolve);
    });
  }

  #text(line: Line): string {
    const mark = { running: spinner[this.#frame % spinner.length], done: '✓', failed: '✗' }[line.state];
    const took = line.state === 'running' ? performance.now() - line.startedAt : line.milliseconds;
    const note = line.note === '' ? '' : ` (${line.note})`;
    return `  ${mark} ${line.title}${note}  ${seconds(took)}`;
  }

  #erase(): void {
    if (this.#drawn > 0) this.#out.write(`\x1b[${this.#drawn}F\x1b[0J`);
    this.#drawn = 0;
  }

  #draw(): void {
    if (!this.#live) return;
    this.#timer ??= setInterval(() => {
      this.#frame += 1;
      this.#draw();
    }, 100).unref();
    const width = Math.max(20, this.#out.columns ?? 80) - 1;
    this.#erase();
    this.#out.write(this.#lines.map((line) => `${this.#text(line).slice(0, width)}\n`).join(''));
    this.#drawn = this.#lines.length;
  }
}
