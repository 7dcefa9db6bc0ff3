import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecControl, ExecNotice, ExecStart } from '@vivarium/api';
import { channels } from '@vivarium/api/wire';
import {
  abortReason,
  type ExecConnection,
  type ExecExit,
  type ExecOutput,
  isVivError,
  type TerminalSize,
  VivError,
} from '@vivarium/model';
import { OutputQueue } from './output-queue.ts';
import { openSocket } from './socket.ts';
import { StdinLog } from './stdin-log.ts';
import type { Transport } from './transport.ts';
import type { WebSocket } from './web-socket.ts';

/** How long a lost daemon is looked for before a command counts as lost. Milliseconds. */
const reconnectMs = 30_000;

/** The daemon keeps half a mebibyte of what was not acknowledged; it is told well before that. */
const acknowledgeBytes = 128 * 1024;

export interface LinkOptions {
  transport: Transport;
  /** Of the instance. */
  id: string;
  /** `attach`: the entrypoint's session, which outlives every link to it. */
  route: 'exec' | 'attach' | 'attachSession';
  /** Of `attachSession`. */
  session?: string;
  /** Of `attachSession`: where it goes on first. Default: the oldest byte held. */
  from?: { stdout: number; stderr: number };
  start: ExecStart;
  signal?: AbortSignal;
}

/**
 * An exec session over a WebSocket. Where that is lost it looks for the daemon again (starting one where it may) and goes
 * on at the byte where it was, in both directions.
 */
export class ExecLink implements ExecConnection {
  readonly execId: string;
  readonly exit: Promise<ExecExit>;
  readonly #options: LinkOptions;
  readonly #exit: PromiseWithResolvers<ExecExit> = Promise.withResolvers();
  readonly #queue = new OutputQueue((bytes) => this.#consumed(bytes));
  // Not before the daemon has said how much of it the session has: what is sent by then is sent by the resumption.
  readonly #stdin = new StdinLog((frame) => this.#attached && this.#transmit(frame));
  readonly #received = { stdout: 0, stderr: 0 };
  #socket: WebSocket | undefined;
  /** The session is at the other end of {@link #socket}, and has said where it goes on. */
  #attached = false;
  #started = false;
  #over = false;
  /** Closed while the connection was lost: the command is still to be ended, once somebody answers. */
  #unended = false;
  #unacknowledged = 0;

  private constructor(options: LinkOptions) {
    this.#options = options;
    this.execId = options.session ?? (options.route === 'attach' ? 'workload:root' : randomUUID());
    this.exit = this.#exit.promise;
    // Whoever wants to know awaits it; nobody has to.
    this.exit.catch(() => undefined);
  }

  /** Resolves once the command runs. */
  static async open(options: LinkOptions): Promise<ExecLink> {
    const link = new ExecLink(options);
    await link.#connect().catch(async (error: unknown) => {
      if (!retryable(error) || options.signal?.aborted) throw error;
      await link.#reconnect(error);
    });
    return link;
  }

  get output(): AsyncIterable<ExecOutput> {
    return this.#queue;
  }

  write(data: Uint8Array): Promise<void> {
    return this.#stdin.write(data);
  }

  async end(): Promise<void> {
    this.#stdin.end();
  }

  async resize(size: TerminalSize): Promise<void> {
    this.#say({ resize: size });
  }

  async signal(name: string): Promise<void> {
    this.#say({ signal: name });
  }

  async close(): Promise<void> {
    const running = !this.#over;
    const socket = this.#socket;
    this.#finish(new VivError('cancelled', 'The session was closed before its command had ended.'));
    if (running && this.#started && socket?.isOpen === false) this.#unended = this.#options.route === 'exec';
    if (socket === undefined || socket.isClosed) return;
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    this.#hangUp(socket);
    // The daemon closes its side once the process group is dead; of an ended one nothing is to be waited for.
    if (running) await closed;
  }

  async #connect(): Promise<void> {
    const { transport, id, route, session, from, start, signal } = this.#options;
    const socket = await openSocket(transport, route, {
      params: session === undefined ? { id } : { id, xid: session },
      signal: this.#started ? undefined : signal,
    });
    if (this.#over && !this.#unended) {
      socket.terminate();
      throw new VivError('cancelled', 'The session was closed while its connection was lost.');
    }
    const resume = this.#started
      ? { ...this.#received }
      : this.#socket && route === 'exec'
        ? { stdout: 0, stderr: 0 }
        : from;
    this.#socket = socket;
    this.#attached = false;
    const opened = Promise.withResolvers<void>();
    const abort = () => {
      void this.close();
      if (signal !== undefined) opened.reject(abortReason(signal));
    };
    if (!this.#started) signal?.addEventListener('abort', abort, { once: true });
    socket.on('message', (data, binary) => {
      // What a connection that was given up still brings comes again over the one that followed it.
      if (this.#socket !== socket) return;
      if (binary) this.#take(data);
      else this.#hear(JSON.parse(String(data)) as ExecNotice, opened);
    });
    socket.on('close', () => {
      const lost = new VivError('daemon_unreachable', 'The connection to vivd was lost');
      opened.reject(lost);
      // One that never got that far is the business of whoever opened it.
      if (this.#socket !== socket || !this.#attached) return;
      this.#attached = false;
      if (!this.#over || this.#unended) void this.#reconnect(lost).catch(() => undefined);
    });
    socket.resume();
    socket.send(
      JSON.stringify({ ...start, channels: true, exec_id: this.execId, resume } satisfies ExecStart),
    );
    try {
      await opened.promise;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Tries again until somebody answers or the time is up; the session then ends with the reason. */
  async #reconnect(first: unknown): Promise<void> {
    const deadline = Date.now() + reconnectMs;
    let failure = first;
    for (
      let wait = 20;
      Date.now() < deadline && (!this.#over || this.#unended);
      wait = Math.min(wait * 2, 1000)
    ) {
      try {
        await this.#connect();
        return;
      } catch (error) {
        failure = error;
        if (!retryable(error)) break;
        await sleep(wait);
      }
    }
    this.#finish(VivError.from(failure));
    throw failure;
  }

  #take(frame: Buffer): void {
    const stream = frame[0] === channels.stderr ? 'stderr' : 'stdout';
    const data = frame.subarray(1);
    this.#received[stream] += data.byteLength;
    this.#queue.push({ stream, data });
  }

  #hear(notice: ExecNotice, opened: PromiseWithResolvers<void>): void {
    if (notice.started !== undefined) this.#onStarted(notice.started, opened);
    if (notice.stdin_written !== undefined)
      this.#stdin.onWritten(notice.stdin_written, notice.stdin_ack ?? 0);
    if (notice.exitCode !== undefined) {
      this.#exit.resolve({
        code: notice.exitCode,
        ...(notice.signal === undefined ? {} : { signal: notice.signal }),
        ...(notice.timed_out === undefined ? {} : { timedOut: notice.timed_out }),
      });
      this.#finish();
    }
    if (notice.error !== undefined) this.#onError(VivError.fromRecord(notice.error), opened);
  }

  #onStarted(started: NonNullable<ExecNotice['started']>, opened: PromiseWithResolvers<void>): void {
    if (!this.#started) {
      this.#started = true;
      this.#received.stdout = started.stdout;
      this.#received.stderr = started.stderr;
    }
    this.#attached = true;
    if (this.#over) {
      this.#unended = false;
      if (this.#socket !== undefined) this.#hangUp(this.#socket);
      opened.resolve();
      return;
    }
    try {
      this.#stdin.resume(started.stdin);
      opened.resolve();
    } catch (error) {
      this.#finish(VivError.from(error));
    }
  }

  #onError(error: VivError, opened: PromiseWithResolvers<void>): void {
    opened.reject(error);
    // The daemon is finding its way back to the guest: as good as a lost connection, which the close will be.
    if (this.#started && !retryable(error)) this.#finish(error);
  }

  #hangUp(socket: WebSocket): void {
    if (socket.isOpen) socket.send(JSON.stringify({ close: true } satisfies ExecControl));
    // A paused socket would not see the close.
    socket.resume();
    socket.close();
  }

  #finish(error?: VivError): void {
    if (this.#over) return;
    this.#over = true;
    if (error !== undefined) this.#exit.reject(error);
    this.#queue.end();
    this.#stdin.stop();
  }

  #consumed(bytes: number): void {
    this.#unacknowledged += bytes;
    if (this.#unacknowledged < acknowledgeBytes) return;
    this.#unacknowledged = 0;
    const { stdout, stderr } = this.#queue.consumedOf(this.#received);
    this.#say({ ack: { stdout, stderr } });
  }

  #say(control: ExecControl): void {
    this.#transmit(JSON.stringify(control));
  }

  /** What can't be sent now is sent by the resumption (stdin), or has lost its meaning (a size, a signal). */
  #transmit(frame: string | Uint8Array): boolean {
    if (!this.#socket?.isOpen) return false;
    this.#socket.send(frame);
    return true;
  }
}

/** Whether the session may still be there once somebody answers. */
function retryable(error: unknown): boolean {
  return isVivError(error, 'daemon_unreachable', 'agent_unreachable', 'data_dir_locked');
}
