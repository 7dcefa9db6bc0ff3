import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { VivError } from '@vivarium/model';
import {
  type EventMessage,
  type Fields,
  HostConnection,
  maxPayloadBytes,
  ProtocolError,
  type StreamHandler,
  type Welcome,
  type WireStream,
} from '@vivarium/protocol';
import { abortError, channelError, guestError } from './guest-errors.ts';
import { NoiseBudget } from './noise-budget.ts';

/** Milliseconds without a WELCOME before HELLO is said again; doubled each time. */
const firstProdMs = 250;
/** Answers to pings are dropped while more than this waits to be written. */
const maxPongBacklogBytes = 65_536;

/** A channel on which only its holder speaks. */
export interface HeldChannel {
  ask(method: string, params: object, signal?: AbortSignal): Promise<void>;
  /** Reads nothing more. The answer to what was asked last is the sign that the agent has taken all that was sent. */
  silence(): void;
  listen(): void;
  /** Sends what has waited. */
  release(): void;
}

/** One conversation with the agent over one port, from HELLO on. It is never repaired: when it breaks, open another. */
export class GuestChannel {
  /** Settles once the conversation is over, for whatever reason; see {@link failure}. */
  readonly closed: Promise<void>;
  readonly #name: string;
  readonly #duplex: Duplex;
  readonly #connection: HostConnection;
  readonly #budget = new NoiseBudget();
  readonly #onEvent: (event: EventMessage) => void;
  #failure: VivError | undefined;
  #settleClosed: () => void = () => undefined;
  #greeted: (welcome: Welcome) => void = () => undefined;
  #prodTimer: NodeJS.Timeout | undefined;
  #writes = 0;
  /** What waits to be sent while the channel is held. */
  #held: (readonly Uint8Array[])[] | undefined;
  #passing = false;
  #flushed = 0;
  #flushWaiters: { after: number; resolve: () => void }[] = [];

  private constructor(name: string, duplex: Duplex, onEvent: (event: EventMessage) => void) {
    this.#name = name;
    this.#duplex = duplex;
    this.#onEvent = onEvent;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.#connection = new HostConnection({
      epoch: randomBytes(8).readBigUInt64LE(),
      host: 'vivarium/0.1.0',
      write: (parts) => this.#write(parts),
      welcome: (welcome) => this.#greeted(welcome),
      event: (event) => this.#onEvent(event),
      mayPong: () => duplex.writableLength <= maxPongBacklogBytes,
    });
    duplex.on('data', (chunk: Buffer) => this.#receive(chunk));
    duplex.on('error', (error) => this.close(error));
    duplex.on('end', () => this.close(new Error('the other end closed it')));
    duplex.on('close', () => this.close(new Error('it was closed')));
  }

  /**
   * Greets the agent over `duplex` and waits for its answer, however long it takes to boot. Owns the duplex from here on.
   *
   * @throws VivError `agent_unreachable`, `protocol_error`, `not_supported` (another protocol version), or what the signal says.
   */
  static async greet(
    name: string,
    duplex: Duplex,
    options: { signal?: AbortSignal; onEvent?: (event: EventMessage) => void } = {},
  ): Promise<{ channel: GuestChannel; welcome: Welcome }> {
    const channel = new GuestChannel(name, duplex, options.onEvent ?? (() => undefined));
    const { signal } = options;
    const abort = () => channel.close(signal === undefined ? undefined : abortError(signal));
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    try {
      const greeted = new Promise<Welcome>((resolve) => {
        channel.#greeted = resolve;
      });
      channel.#prod(firstProdMs);
      channel.#connection.hello();
      const welcome = await Promise.race([greeted, channel.closed]);
      if (welcome === undefined) throw channel.failure;
      return { channel, welcome };
    } finally {
      clearTimeout(channel.#prodTimer);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Why the conversation is over; undefined while it goes on. */
  get failure(): VivError | undefined {
    return this.#failure;
  }

  /** Asks and waits for the answer. The stream is free again afterwards, also when the signal fires first. */
  call<T>(method: string, params: object, read: (result: Fields) => T, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortError(signal));
      const settle = () => signal?.removeEventListener('abort', abort);
      const fail = (error: unknown) => {
        settle();
        reject(error);
      };
      const stream = this.open(method, params, {
        response: (response) => {
          // A result that cannot be read throws, and so ends the channel and then this call.
          const value = response.ok ? read(response.result) : undefined;
          stream.release();
          if (!response.ok) return fail(guestError(response.error));
          settle();
          resolve(value as T);
        },
        reset: (error) => fail(guestError(error)),
        lost: fail,
      });
      const abort = () => {
        stream.reset({ code: 'cancelled', message: 'the caller gave up' });
        if (signal !== undefined) fail(abortError(signal));
      };
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Opens a stream. @throws VivError where the channel is closed or the request does not fit a frame. */
  open(method: string, params: object, handler: StreamHandler): WireStream {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#connection.open(method, params, handler);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new VivError('invalid_request', `The request ${method} cannot be sent: ${error.message}.`, {
        cause: error,
        hint: `Arguments and environment together have at most ${maxPayloadBytes} bytes.`,
      });
    }
  }

  /** Resolves once all that was written so far has left this process: buffers given to streams may then be reused. */
  flushed(): Promise<void> | undefined {
    const writes = this.#writes + (this.#held?.length ?? 0);
    if (this.#flushed === writes || this.#failure !== undefined) return undefined;
    return new Promise((resolve) => this.#flushWaiters.push({ after: writes, resolve }));
  }

  /**
   * Holds back everything that is to be sent, but for what is asked through the answer. A channel that breaks meanwhile breaks as
   * always. @throws VivError `busy` where it is held already.
   */
  hold(): HeldChannel {
    if (this.#held !== undefined) throw new VivError('busy', `The ${this.#name} channel is held already.`);
    this.#held = [];
    return {
      ask: (method, params, signal) => {
        this.#passing = true;
        try {
          return this.call(method, params, () => undefined, signal);
        } finally {
          this.#passing = false;
        }
      },
      silence: () => void this.#duplex.pause(),
      listen: () => void this.#duplex.resume(),
      release: () => {
        const held = this.#held ?? [];
        this.#held = undefined;
        for (const parts of held) this.#write(parts);
      },
    };
  }

  /** Ends the conversation; all that is under way fails with the reason. Without one: `cancelled`. */
  close(reason?: unknown): void {
    if (this.#failure !== undefined) return;
    const none = new VivError('cancelled', `The ${this.#name} channel to the agent was closed.`);
    this.#failure = reason === undefined ? none : channelError(this.#name, reason);
    this.#connection.close(this.#failure);
    this.#duplex.destroy();
    for (const waiter of this.#flushWaiters.splice(0)) waiter.resolve();
    this.#settleClosed();
  }

  #receive(chunk: Buffer): void {
    if (this.#failure !== undefined) return;
    try {
      this.#connection.receive(chunk);
      if (!this.#budget.allows(this.#connection.noise)) {
        throw new ProtocolError('unexpected_frame', 'the guest floods it with what nobody asked for');
      }
    } catch (error) {
      // Anything but the guest's fault is a defect of ours: this conversation ends, the daemon goes on.
      this.close(error instanceof ProtocolError ? error : VivError.from(error));
    }
  }

  #write(parts: readonly Uint8Array[]): void {
    if (this.#held !== undefined && !this.#passing) return void this.#held.push(parts);
    const duplex = this.#duplex;
    if (duplex.destroyed || duplex.writableEnded) return;
    this.#writes += 1;
    if (parts.length === 1) {
      duplex.write(parts[0], this.#onFlushed);
      return;
    }
    duplex.cork();
    for (const [index, part] of parts.entries()) {
      if (index < parts.length - 1) duplex.write(part);
      else duplex.write(part, this.#onFlushed);
    }
    duplex.uncork();
  }

  readonly #onFlushed = (): void => {
    this.#flushed += 1;
    while ((this.#flushWaiters[0]?.after ?? Number.POSITIVE_INFINITY) <= this.#flushed) {
      this.#flushWaiters.shift()?.resolve();
    }
  };

  /**
   * Says HELLO again behind as many zeros as a frame can have: a guest that waits for the rest of a frame whose sender was
   * killed takes them for it, and then hears the greeting. Nothing piles up: what the guest has not read stops it.
   */
  #prod(afterMs: number): void {
    this.#prodTimer = setTimeout(() => {
      if (this.#duplex.writableLength === 0) {
        this.#duplex.write(Buffer.alloc(maxPayloadBytes));
        this.#connection.hello();
      }
      this.#prod(afterMs * 2);
    }, afterMs);
  }
}
