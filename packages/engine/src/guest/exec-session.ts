import { type ExecExit, type ExecOutput, type TerminalSize, VivError } from '@vivarium/model';
import {
  Channel,
  type ChannelCode,
  type EventMessage,
  ProtocolError,
  type Response,
  type StreamHandler,
  type WireStream,
} from '@vivarium/protocol';
import { readExit } from './answers.ts';
import type { GuestChannel } from './channel.ts';
import { CreditGate } from './credit-gate.ts';
import type { GuestExecConnection, ResumePoint } from './guest.ts';
import { abortError, guestError } from './guest-errors.ts';
import { ReceiveQueue } from './receive-queue.ts';

/** How a session is opened: `exec.start`, or `exec.attach` to go on with one. */
export interface SessionRequest {
  execId: string;
  method: 'exec.start' | 'exec.attach';
  params: object;
  /** The offsets asked for; the agent's answer must agree. */
  from?: ResumePoint;
}

/** One exec session over one stream of the control channel. */
export class ExecSession implements GuestExecConnection {
  readonly execId: string;
  readonly exit: Promise<ExecExit>;
  pid = 0;
  readonly delivered = { stdout: 0n, stderr: 0n };
  readonly #channel: GuestChannel;
  readonly #stream: WireStream;
  readonly #stdin: CreditGate;
  readonly #received = new ReceiveQueue();
  readonly #opened: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #exit: PromiseWithResolvers<ExecExit> = Promise.withResolvers();
  readonly #outputsEnded = new Set<ChannelCode>();
  #stdinBase = 0n;
  #writes: Promise<void> = Promise.resolve();
  #reading = false;
  #state: 'running' | 'exited' | 'left' = 'running';

  private constructor(channel: GuestChannel, request: SessionRequest) {
    this.execId = request.execId;
    this.#channel = channel;
    this.exit = this.#exit.promise;
    // Whoever wants to know awaits them; nobody has to.
    this.exit.catch(() => undefined);
    this.#opened.promise.catch(() => undefined);
    this.#stream = channel.open(request.method, request.params, this.#handler(request));
    this.#stdin = new CreditGate(this.#stream, Channel.stdin);
  }

  /**
   * Resolves once the agent has started (or found) the command. A signal that fires before that kills a command being
   * started and leaves one being joined alone; fired later it does nothing.
   */
  static async open(
    channel: GuestChannel,
    request: SessionRequest,
    signal?: AbortSignal,
  ): Promise<ExecSession> {
    if (signal?.aborted) throw abortError(signal);
    const session = new ExecSession(channel, request);
    const abort = () => session.#abandon(request, signal as AbortSignal);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await session.#opened.promise;
      return session;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  get stdinAccepted(): bigint {
    return this.#stdinBase + BigInt(this.#stream.acknowledged(Channel.stdin));
  }

  get output(): AsyncIterable<ExecOutput> {
    return { [Symbol.asyncIterator]: () => this.#read() };
  }

  async *#read(): AsyncGenerator<ExecOutput> {
    if (this.#reading)
      throw new VivError('invalid_request', 'The output of this session is already being read.');
    this.#reading = true;
    for (;;) {
      const piece = await this.#received.next();
      if (piece === undefined) return;
      const stream = piece.channel === Channel.stderr ? 'stderr' : 'stdout';
      this.delivered[stream] += BigInt(piece.gap + piece.data.length);
      if (piece.data.length === 0) continue;
      this.#stream.consumed(piece.channel, piece.data.length);
      yield { stream, data: piece.data };
    }
  }

  write(data: Uint8Array): Promise<void> {
    const write = this.#writes.then(async () => {
      await this.#stdin.send(data);
      await this.#channel.flushed();
    });
    this.#writes = write.catch(() => undefined); // The next writer finds out for itself.
    return write;
  }

  end(): Promise<void> {
    const end = this.#writes.then(() => this.#stream.end(Channel.stdin));
    this.#writes = end;
    return end;
  }

  resize({ rows, cols }: TerminalSize): Promise<void> {
    return this.#channel.call('exec.resize', { execId: this.execId, rows, cols }, () => undefined);
  }

  signal(name: string): Promise<void> {
    return this.#channel.call('exec.signal', { execId: this.execId, signal: name }, () => undefined);
  }

  async close(): Promise<void> {
    const wasRunning = this.#state === 'running';
    if (this.#state === 'left') return;
    this.#leave(new VivError('cancelled', 'The session was closed before its command had ended.'));
    const closed = this.#channel.call('exec.close', { execId: this.execId }, () => undefined);
    // A session whose command has ended is only to be forgotten; waiting for that would cost a round trip.
    if (wasRunning) await closed.catch(ignoreUnknown);
    else closed.catch(() => undefined); // The channel is gone, and the agent forgets old sessions by itself.
  }

  detach(): void {
    this.#leave(new VivError('cancelled', 'This end let go of the session.'));
  }

  /** Ends this side, at once: the reader's loop ends, `exit` and writers get the error unless it is over anyway. */
  #leave(error: VivError): void {
    if (this.#state === 'left') return;
    this.#state = 'left';
    this.#stream.reset({ code: 'cancelled', message: 'the host let go' });
    this.#received.end(undefined, true);
    this.#exit.reject(error);
    this.#stdin.fail(error);
  }

  #abandon(request: SessionRequest, signal: AbortSignal): void {
    if (request.method === 'exec.start' && this.#channel.failure === undefined) {
      // Where the channel is lost instead, the next connection finds the session in exec.list.
      this.#channel.call('exec.close', { execId: this.execId }, () => undefined).catch(() => undefined);
    }
    const error = abortError(signal);
    this.#leave(error);
    this.#opened.reject(error);
  }

  #handler(request: SessionRequest): StreamHandler {
    return {
      response: (response) => this.#onResponse(response, request.from),
      data: (channel, payload) => {
        if (channel !== Channel.stdin) this.#received.push(channel, payload);
      },
      end: (channel) => {
        this.#outputsEnded.add(channel);
        if (this.#outputsEnded.has(Channel.stdout) && this.#outputsEnded.has(Channel.stderr))
          this.#received.end();
      },
      event: (event) => this.#onEvent(event),
      credit: (channel) => {
        if (channel === Channel.stdin) this.#stdin.open();
      },
      reset: (error) => this.#fail(guestError(error)),
      lost: (error) => this.#fail(error),
    };
  }

  #onResponse(response: Response, from?: ResumePoint): void {
    if (!response.ok) {
      this.#stream.release();
      this.#fail(guestError(response.error));
      return;
    }
    const offset = (name: string) => response.result.optionalBigint(name) ?? 0n;
    this.pid = response.result.uint('pid');
    this.#stdinBase = offset('stdin');
    this.delivered.stdout = offset('stdout');
    this.delivered.stderr = offset('stderr');
    const { stdout, stderr } = this.delivered;
    if (from !== undefined && (from.stdout !== stdout || from.stderr !== stderr)) {
      throw new ProtocolError(
        'invalid_field',
        `exec.attach goes on at ${stdout}/${stderr}, not where it was asked to`,
      );
    }
    this.#opened.resolve();
  }

  #onEvent(event: EventMessage): void {
    if (event.name === 'gap') this.#onGap(event.fields.uint('channel'), event.fields.uint('bytes'));
    if (event.name !== 'exit' || this.#state !== 'running') return;
    const exit = readExit(event.fields);
    this.#state = 'exited';
    this.#stream.release();
    this.#received.end();
    this.#exit.resolve(exit);
    this.#stdin.fail(new VivError('guest_error', 'The command has ended and reads no more.'));
  }

  /** The guest gave up bytes of a ring before this reader came to them. */
  #onGap(channel: number, bytes: number): void {
    if (channel !== Channel.stdout && channel !== Channel.stderr) {
      throw new ProtocolError('invalid_field', `gap: channel ${channel} is no output`);
    }
    this.#received.skip(channel, bytes);
  }

  #fail(error: unknown): void {
    this.#opened.reject(error);
    this.#received.end(error);
    this.#exit.reject(error);
    this.#stdin.fail(error);
  }
}

/** The session was gone already, which is what was wanted. */
function ignoreUnknown(error: unknown): void {
  if (error instanceof VivError && error.code === 'not_found') return;
  throw error;
}
