import { abortReason, VivError } from './errors.ts';
import type { TerminalSize } from './instance.ts';

export interface ExecOptions {
  /** Added to the workload's environment. */
  env?: Record<string, string>;
  /** Default: the workload's working directory. */
  cwd?: string;
  /** `name`, `uid`, `name:group` or `uid:gid`. Default: the workload's user. */
  user?: string;
  /** A terminal: stdout and stderr arrive as one stream. */
  tty?: TerminalSize;
  /** What the command reads. Absent: end of file at once. `open-stream`: use `write` and `end`. */
  stdin?: string | Uint8Array | AsyncIterable<string | Uint8Array> | 'open-stream';
  /** `vm`: beside the workloads, in the agent's own root. Default: the image's workload. */
  target?: 'root' | 'vm';
  /** Aborting kills the whole process group in the guest. */
  signal?: AbortSignal;
  /**
   * Milliseconds after which the process group is killed and `timedOut` is set; where the guest has not answered 5 s later,
   * the command is given up with `timeout`. Default: none.
   */
  timeoutMs?: number;
  /** Bytes kept of each output for the result. Default 100 MB; past it the command is killed with `payload_too_large`. */
  maxBufferBytes?: number;
}

/** The end of a command. A failure has the same shape as a success. */
export interface ExecResult {
  argv: readonly string[];
  /** 0 to 255; 128+n when signal n ended it. */
  exitCode: number;
  /** `SIGKILL`, … when a signal ended it. */
  signal?: string;
  stdout: string;
  stderr: string;
  ok: boolean;
  timedOut: boolean;
}

/** Something a command printed. */
export interface ExecOutput {
  stream: 'stdout' | 'stderr';
  data: Uint8Array;
}

export interface ExecExit {
  code: number;
  signal?: string;
  timedOut?: boolean;
}

/** What a transport (guest client, WebSocket) gives so that an {@link Exec} can be put over it. */
export interface ExecConnection {
  /** Names the session across reconnects. */
  readonly execId: string;
  /** Ends when both outputs are at their end. Reading slowly slows the command, never the channel. */
  readonly output: AsyncIterable<ExecOutput>;
  /** Settles after the output's end. Rejects with a VivError where the session was lost. */
  readonly exit: Promise<ExecExit>;
  /** Resolves once the bytes are accepted; waits while the command does not read. */
  write(data: Uint8Array): Promise<void>;
  /** End of file for the command's stdin. */
  end(): Promise<void>;
  resize(size: TerminalSize): Promise<void>;
  /** To the command's process group: `SIGINT`, `SIGKILL`, …. */
  signal(name: string): Promise<void>;
  /** Lets go of the session; kills the process group when it still runs. */
  close(): Promise<void>;
}

/** How far the outputs of a session have come, in bytes since its start. */
export interface ExecOffsets {
  stdout: bigint;
  stderr: bigint;
}

/** A session that can be left and joined again: after a lost connection nothing is missing and nothing comes twice. */
export interface ResumableExecConnection extends ExecConnection {
  /** Bytes delivered so far on each output. */
  readonly delivered: Readonly<ExecOffsets>;
  /** Bytes of stdin the guest has taken: where a writer goes on after it has joined again. */
  readonly stdinAccepted: bigint;
  /** Lets go without killing: the session stays in the guest. */
  detach(): void;
}

const defaultMaxBuffer = 100 * 1024 * 1024;

/** Milliseconds a guest has to do what a time-out asks of it. One that hangs never would. */
const unansweredMs = 5000;

/**
 * A command in a guest: a promise of its result *and* an async iterable of what it prints.
 *
 * `await exec` collects both outputs. Iterating (`for await (const { stream, data } of exec)`, `exec.lines()`) takes them
 * as they come instead, and they are then absent from the result. A non-zero exit does not throw unless
 * {@link Exec.orThrow} is asked.
 */
export class Exec implements PromiseLike<ExecResult>, AsyncIterable<ExecOutput> {
  readonly argv: readonly string[];
  readonly #options: ExecOptions;
  readonly #connection: Promise<ExecConnection>;
  #result: Promise<ExecResult> | undefined;
  #streaming = false;
  #timedOut = false;
  #lost: VivError | undefined;
  #stdinDone: Promise<void> = Promise.resolve();

  constructor(argv: readonly string[], options: ExecOptions, open: () => Promise<ExecConnection>) {
    this.argv = argv;
    this.#options = options;
    this.#connection = Promise.resolve().then(() => {
      this.#refuseAborted();
      return this.#opened(open());
    });
    this.#connection.then(
      (connection) => this.#supervise(connection),
      () => undefined,
    );
  }

  /** Names the session, once the command has been started. */
  get id(): Promise<string> {
    return this.#connection.then((connection) => connection.execId);
  }

  /** A command with a time-out is not waited for longer than that either when it can't even be started. */
  #opened(opening: Promise<ExecConnection>): Promise<ExecConnection> {
    const { timeoutMs } = this.#options;
    if (timeoutMs === undefined) return opening;
    const { promise, resolve, reject } = Promise.withResolvers<ExecConnection>();
    const timer = setTimeout(() => {
      reject(this.#unanswered());
      // Should it be started after all, nobody waits for it any more.
      opening.then((late) => late.close()).catch(() => undefined);
    }, timeoutMs + unansweredMs);
    opening.then(resolve, reject).finally(() => clearTimeout(timer));
    return promise;
  }

  #refuseAborted(): void {
    const { signal } = this.#options;
    if (signal?.aborted) throw abortReason(signal);
  }

  #unanswered(): VivError {
    return new VivError('timeout', `${this.argv[0]} was out of time, and the guest does not answer`, {
      hint: 'Stop the VM by force where that does not change.',
    });
  }

  #supervise(connection: ExecConnection): void {
    const { signal, timeoutMs, stdin } = this.#options;
    const kill = () => void connection.close().catch(() => undefined);
    if (signal?.aborted) kill();
    else signal?.addEventListener('abort', kill, { once: true });
    let unanswered: NodeJS.Timeout | undefined;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            this.#timedOut = true;
            void connection.signal('SIGKILL').catch(() => undefined);
            unanswered = setTimeout(() => {
              this.#lost = this.#unanswered();
              kill();
            }, unansweredMs);
          }, timeoutMs);
    const settled = () => {
      clearTimeout(timer);
      clearTimeout(unanswered);
      signal?.removeEventListener('abort', kill);
    };
    connection.exit.then(settled, settled);
    if (stdin !== 'open-stream') {
      // A command that ends without reading its stdin is no failure of the command.
      this.#stdinDone = feed(connection, stdin).catch(() => undefined);
    }
  }

  /** Writes to the command's stdin (with `stdin: 'open-stream'`); waits while the command does not read. */
  async write(data: string | Uint8Array): Promise<void> {
    await (await this.#connection).write(typeof data === 'string' ? Buffer.from(data) : data);
  }

  /** End of file on the command's stdin. */
  async end(): Promise<void> {
    await (await this.#connection).end();
  }

  async resize(size: TerminalSize): Promise<void> {
    await (await this.#connection).resize(size);
  }

  /** Sends a signal to the command's process group. */
  async kill(signal = 'SIGTERM'): Promise<void> {
    await (await this.#connection).signal(signal);
  }

  /** Like awaiting, but a non-zero exit or a timeout throws `guest_error` (or `timeout`) carrying the result. */
  async orThrow(): Promise<ExecResult> {
    const result = await this;
    if (result.ok) return result;
    const how = result.timedOut ? 'timed out' : `exited with ${result.exitCode}`;
    throw new VivError(result.timedOut ? 'timeout' : 'guest_error', `${this.argv.join(' ')} ${how}`, {
      details: { result },
      hint: result.stderr.trim().split('\n').at(-1) || undefined,
    });
  }

  /** Complete lines without their ends, from one stream or both, as they come. */
  async *lines(from: 'stdout' | 'stderr' | 'both' = 'stdout'): AsyncGenerator<string> {
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    const rest = { stdout: '', stderr: '' };
    for await (const { stream, data } of this) {
      if (from !== 'both' && stream !== from) continue;
      const parts = (rest[stream] + decoders[stream].decode(data, { stream: true })).split('\n');
      rest[stream] = parts.pop() ?? '';
      for (const line of parts) yield line.endsWith('\r') ? line.slice(0, -1) : line;
    }
    for (const stream of ['stdout', 'stderr'] as const) {
      const last = rest[stream] + decoders[stream].decode();
      if (last !== '' && (from === 'both' || stream === from)) yield last;
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<ExecOutput> {
    if (this.#streaming || this.#result !== undefined) {
      throw new VivError('invalid_request', 'The output of this command is already being read.');
    }
    this.#streaming = true;
    const connection = await this.#connection;
    let finished = false;
    try {
      yield* connection.output;
      finished = true;
    } finally {
      // Leaving the loop early ends the command: nobody is left to read it.
      if (!finished) await connection.close();
    }
    await this.#end(connection);
    this.#refuseAborted();
  }

  // biome-ignore lint/suspicious/noThenProperty: an Exec is a promise of its result by design.
  then<A = ExecResult, B = never>(
    onFulfilled?: ((value: ExecResult) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#result ??= this.#collect();
    return this.#result.then(onFulfilled, onRejected);
  }

  async #collect(): Promise<ExecResult> {
    const connection = await this.#connection;
    const max = this.#options.maxBufferBytes ?? defaultMaxBuffer;
    const chunks: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] };
    const size = { stdout: 0, stderr: 0 };
    if (!this.#streaming) {
      for await (const { stream, data } of connection.output) {
        size[stream] += data.byteLength;
        if (size[stream] > max) {
          await connection.close();
          throw new VivError(
            'payload_too_large',
            `${this.argv[0]} printed more than ${max} bytes on ${stream}`,
            {
              hint: 'Iterate the command instead of awaiting it, or raise maxBufferBytes.',
            },
          );
        }
        chunks[stream].push(data);
      }
    }
    const exit = await this.#end(connection);
    this.#refuseAborted();
    const timedOut = this.#timedOut || exit.timedOut === true;
    return {
      argv: this.argv,
      exitCode: exit.code,
      ...(exit.signal === undefined ? {} : { signal: exit.signal }),
      stdout: Buffer.concat(chunks.stdout).toString(),
      stderr: Buffer.concat(chunks.stderr).toString(),
      ok: exit.code === 0 && !timedOut,
      timedOut,
    };
  }

  async #end(connection: ExecConnection): Promise<ExecExit> {
    const exit = await connection.exit.catch((error: unknown) => {
      // Letting go of it is how it was aborted; the caller is told why.
      this.#refuseAborted();
      throw this.#lost ?? error;
    });
    await this.#stdinDone;
    await connection.close();
    return exit;
  }
}

async function feed(
  connection: ExecConnection,
  stdin: Exclude<ExecOptions['stdin'], 'open-stream'>,
): Promise<void> {
  if (typeof stdin === 'string') await connection.write(Buffer.from(stdin));
  else if (stdin instanceof Uint8Array) await connection.write(stdin);
  else if (stdin !== undefined) {
    for await (const chunk of stdin)
      await connection.write(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  }
  await connection.end();
}
