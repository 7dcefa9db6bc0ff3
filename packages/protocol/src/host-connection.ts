import { Buffer } from 'node:buffer';
import { FrameDecoder } from './decoder.ts';
import {
  type ChannelCode,
  encodeFrameParts,
  type Frame,
  FrameType,
  type FrameTypeCode,
  protocolVersion,
} from './frame.ts';
import {
  decodeCredit,
  decodeEvent,
  decodeReset,
  decodeResponse,
  decodeWelcome,
  type EventMessage,
  encodeHello,
  encodeRequest,
  type Welcome,
} from './messages.ts';
import { ProtocolError } from './protocol-error.ts';
import { type StreamHandler, WireStream } from './wire-stream.ts';

export interface HostConnectionOptions {
  /** Fresh random 64 bits. */
  readonly epoch: bigint;
  /** Named in HELLO. */
  readonly host: string;
  /** Takes the buffers of one frame; large ones are the caller's own and must not change until they are written. */
  write(parts: readonly Uint8Array[]): void;
  welcome(welcome: Welcome): void;
  /** An event of the connection itself (stream 0). */
  event(event: EventMessage): void;
  /** Whether a PONG may be written now; false while what was written before waits. Default: always. */
  readonly mayPong?: () => boolean;
}

const maxPingBytes = 64;
const maxStream = 0xffffffff;

/**
 * The host's half of one conversation over one port: greeting, epoch, streams and their credit. Does no I/O: bytes go in
 * through {@link receive} and out through `write`.
 */
export class HostConnection {
  /**
   * What came and served nobody: frames of other epochs and ended streams, pings, events, and each 16 bytes of garbage.
   * Honest guests make little of it; the owner decides how much is a flood.
   */
  #noise = 0;
  readonly #options: HostConnectionOptions;
  readonly #decoder = new FrameDecoder();
  readonly #streams = new Map<number, WireStream>();
  #nextStream = 1;
  #state: 'greeting' | 'open' | 'closed' = 'greeting';

  constructor(options: HostConnectionOptions) {
    this.#options = options;
  }

  get noise(): number {
    return this.#noise + this.#decoder.discardedBytes / 16;
  }

  get state(): 'greeting' | 'open' | 'closed' {
    return this.#state;
  }

  /** Bytes held back until their frame is complete: at most one frame. */
  get heldBytes(): number {
    return this.#decoder.heldBytes;
  }

  /** Streams that are not over. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Greets the guest. May be said again, under the same epoch, while no answer has come. */
  hello(): void {
    this.send(FrameType.hello, 0, 0, encodeHello(this.#options.host));
  }

  /** Opens a stream with a request. @throws RangeError for a request above 64 KiB, or after 2^32 streams. */
  open(method: string, params: object, handler: StreamHandler): WireStream {
    if (this.#state !== 'open') throw new Error('the connection is not open');
    if (this.#nextStream > maxStream) throw new RangeError('this conversation has used up its streams');
    const payload = encodeRequest(method, params);
    const stream = new WireStream(this.#nextStream, handler, this);
    this.#nextStream += 1;
    this.#streams.set(stream.id, stream);
    this.send(FrameType.request, 0, stream.id, payload);
    return stream;
  }

  /** For streams. */
  send(type: FrameTypeCode, flags: number, stream: number, payload?: Uint8Array): void {
    if (this.#state === 'closed') return;
    this.#options.write(encodeFrameParts({ type, flags, epoch: this.#options.epoch, stream }, payload));
  }

  /** For streams. */
  release(stream: number): void {
    this.#streams.delete(stream);
  }

  /** Bytes from the guest. @throws ProtocolError where it breaks the protocol; the connection is then to be closed. */
  receive(chunk: Uint8Array): void {
    if (this.#state === 'closed') return;
    this.#decoder.push(chunk, (frame) => this.#dispatch(frame));
  }

  /** Ends the conversation: every stream hears `lost`, and nothing is sent or received any more. */
  close(error: unknown): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    for (const stream of [...this.#streams.values()]) {
      stream.release();
      stream.handler.lost(error);
    }
  }

  #dispatch(frame: Frame): void {
    // A handler may have closed us in the middle of a chunk.
    if (this.#state === 'closed') return;
    if (frame.epoch !== this.#options.epoch) this.#noise += 1;
    else if (this.#state === 'greeting') this.#greeted(frame);
    else if (frame.stream === 0) this.#onConnection(frame);
    else this.#onStream(frame);
  }

  #greeted(frame: Frame): void {
    if (frame.type !== FrameType.welcome || frame.stream !== 0) {
      this.#noise += 1;
      return;
    }
    const welcome = decodeWelcome(frame.payload);
    if (welcome.version !== protocolVersion) {
      throw new ProtocolError(
        'version',
        `the agent ${welcome.agent} does not speak protocol version ${protocolVersion}`,
      );
    }
    this.#state = 'open';
    this.#options.welcome(welcome);
  }

  #onConnection(frame: Frame): void {
    this.#noise += 1;
    if (frame.type === FrameType.event) this.#options.event(decodeEvent(frame.payload));
    else if (frame.type === FrameType.ping) {
      if (frame.payload.length > maxPingBytes)
        throw new ProtocolError('malformed', 'PING has more than 64 bytes');
      if (this.#options.mayPong?.() !== false) this.send(FrameType.pong, 0, 0, Buffer.from(frame.payload));
    }
  }

  #onStream(frame: Frame): void {
    const stream = this.#streams.get(frame.stream);
    if (stream === undefined) {
      if (frame.stream >= this.#nextStream) {
        throw new ProtocolError('unexpected_frame', `stream ${frame.stream} was never opened`);
      }
      this.#noise += 1;
      return;
    }
    if (frame.type === FrameType.data) this.#onData(stream, frame);
    else if (frame.type === FrameType.response) this.#onResponse(stream, frame);
    else if (frame.type === FrameType.credit) this.#onCredit(stream, frame);
    else if (frame.type === FrameType.eof) this.#onEnd(stream, channelOf(frame));
    else if (frame.type === FrameType.event) {
      this.#noise += 1;
      stream.handler.event?.(decodeEvent(frame.payload));
    } else if (frame.type === FrameType.reset) {
      const error = decodeReset(frame.payload);
      stream.release();
      stream.handler.reset(error);
    } else this.#noise += 1;
  }

  #onResponse(stream: WireStream, frame: Frame): void {
    if (stream.answered)
      throw new ProtocolError('unexpected_frame', `stream ${stream.id} was answered twice`);
    stream.answered = true;
    stream.handler.response?.(decodeResponse(frame.payload));
  }

  #onData(stream: WireStream, frame: Frame): void {
    const channel = channelOf(frame);
    const state = stream.channel(channel);
    if (state.ended) throw new ProtocolError('unexpected_frame', `data after the end on stream ${stream.id}`);
    if (frame.payload.length === 0) {
      this.#noise += 1;
      return;
    }
    state.receive.receive(frame.payload.length);
    stream.handler.data?.(channel, frame.payload);
  }

  #onEnd(stream: WireStream, channel: ChannelCode): void {
    const state = stream.channel(channel);
    if (state.ended) {
      this.#noise += 1;
      return;
    }
    state.ended = true;
    stream.handler.end?.(channel);
  }

  #onCredit(stream: WireStream, frame: Frame): void {
    const channel = channelOf(frame);
    const bytes = decodeCredit(frame.payload);
    // Credit nobody can use costs us nothing but the frame.
    if (bytes === 0) this.#noise += 1;
    stream.channel(channel).send.grant(bytes);
    stream.handler.credit?.(channel);
  }
}

function channelOf(frame: Frame): ChannelCode {
  const channel = frame.flags & 0xff;
  if (channel > 2) throw new ProtocolError('unexpected_frame', `there is no channel ${channel}`);
  return channel as ChannelCode;
}
