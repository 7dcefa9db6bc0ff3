import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/**
 * A step of set-up that failed, in words a person can act on. Set-up runs before the workspace's packages are linked,
 * so this and everything it needs to get that far imports nothing but Node; `exitStatus` stands in for the error table.
 */
export class SetupError extends Error {
  override readonly name = 'SetupError';
  readonly hint: string | undefined;
  /** 69 (EX_UNAVAILABLE): something the person has to provide; 70 (EX_SOFTWARE): a step broke. */
  readonly exitStatus: number;

  constructor(message: string, more: { hint?: string; exitStatus?: number; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.hint = more.hint;
    this.exitStatus = more.exitStatus ?? 70;
  }
}

export interface RunOptions {
  cwd?: string;
  /** Added to this process's environment. */
  env?: NodeJS.ProcessEnv;
  /** Written to the program's stdin, which is closed otherwise. */
  input?: Buffer;
  /** Gets everything the program prints (stdout only where it isn't the result). */
  log?: (chunk: Buffer | string) => void;
  signal?: AbortSignal;
}

/**
 * Runs a program to its end; no shell. Answers its stdout.
 * @throws SetupError when it cannot be started or ends with anything but 0.
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Buffer> {
  const [file, ...args] = argv;
  if (file === undefined) throw new SetupError('No program to run');
  options.log?.(`+ ${argv.join(' ')}\n`);
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    signal: options.signal,
    killSignal: 'SIGTERM',
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => {
    out.push(chunk);
    if (chunk.length < 65_536) options.log?.(chunk);
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    err.push(chunk);
    options.log?.(chunk);
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  // A program that ends without reading its stdin breaks the pipe; its exit status tells the story.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.input);
  let end: Awaited<typeof ended>;
  try {
    end = await ended;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new SetupError(
      missing ? `${file} is not installed` : `${file} could not be run: ${(cause as Error).message}`,
      {
        exitStatus: missing ? 69 : 70,
        cause,
      },
    );
  }
  if (end.code !== 0) {
    const how = end.signal ? `was ended by ${end.signal}` : `ended with status ${end.code}`;
    // With a log the whole story is there.
    const said = Buffer.concat(err.length > 0 ? err : out);
    const last = options.log ? '' : said.toString().trim().split('\n').slice(-3).join('\n');
    throw new SetupError(`${file} ${how}${last ? `: ${last}` : ''}`, {
      exitStatus: end.signal === 'SIGINT' ? 128 + constants.signals.SIGINT : 70,
    });
  }
  return Buffer.concat(out);
}

/** Stdout of a program as text, without the newline at its end. */
export async function output(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return (await run(argv, options)).toString().trimEnd();
}

/** True where the program can be run and ends with 0. */
export async function succeeds(argv: readonly string[], options: RunOptions = {}): Promise<boolean> {
  try {
    await run(argv, options);
    return true;
  } catch (error) {
    if (error instanceof SetupError) return false;
    throw error;
  }
}
