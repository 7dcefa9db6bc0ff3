import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../..');
/** The launcher, as a person runs it from a checkout. */
export const launcher = path.join(root, 'viv');

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** `viv` with a data directory and a daemon of its own, all of which end with it. */
export class VivHome implements AsyncDisposable {
  readonly dir: string;
  readonly env: NodeJS.ProcessEnv;

  private constructor(dir: string) {
    this.dir = dir;
    this.env = { ...process.env, VIV_HOME: dir, VIV_SKIP_SETUP: '1', NO_COLOR: '1' };
  }

  static async make(): Promise<VivHome> {
    return new VivHome(await mkdtemp(path.join(tmpdir(), 'viv-')));
  }

  /** A command under way, with pipes. */
  start(...argv: string[]): ChildProcess {
    return spawn(launcher, argv, { env: this.env, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** One command to its end; `input` is its whole stdin. */
  async run(argv: string[], options: { input?: string | Uint8Array; cwd?: string } = {}): Promise<Outcome> {
    const child = spawn(launcher, argv, { env: this.env, stdio: ['pipe', 'pipe', 'pipe'], cwd: options.cwd });
    const read = collect(child);
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      // A command that does not read its stdin may be gone before all of it is written.
      if (error.code !== 'EPIPE') throw error;
    });
    child.stdin.end(options.input ?? '');
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, ...read() };
  }

  /** Like {@link run}; throws what was said where the exit status is not 0. Answers stdout. */
  async ok(...argv: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(argv);
    if (status !== 0) throw new Error(`viv ${argv.join(' ')} ended with ${status}: ${stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { stdout } = await this.run(['ls', '-q']);
    const names = stdout.split('\n').filter((name) => name !== '');
    if (names.length > 0) await this.run(['rm', '-f', ...names]);
    await this.run(['daemon', 'stop']);
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** What a child printed so far. */
export function collect(child: ChildProcess): () => { stdout: string; stderr: string } {
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  child.stdout?.on('data', (data: Buffer) => chunks.stdout.push(data));
  child.stderr?.on('data', (data: Buffer) => chunks.stderr.push(data));
  return () => ({
    stdout: Buffer.concat(chunks.stdout).toString(),
    stderr: Buffer.concat(chunks.stderr).toString(),
  });
}
