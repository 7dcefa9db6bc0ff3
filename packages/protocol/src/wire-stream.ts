import type { Buffer } from 'node:buffer';
import { ReceiveWindow, SendWindow } from './credit.ts';
import { type ChannelCode, FrameType, type FrameTypeCode } from './frame.ts';
import { type EventMessage, encodeCredit, encodeReset, type Response, type WireError } from './messages.ts';

/**
 * What the owner of a stream wants to hear. Handlers are called synchronously; they throw nothing but ProtocolError, which
 * ends the connection.
 */
export interface StreamHandler {
  /** The answer to the request; only the host gets one. */
  response?(response: Response): void;
  /** Within the window. Grant more with {@link WireStream.consumed}; the payload may be a view of a larger buffer. */
  data?(channel: ChannelCode, payload: Buffer): void;
  /** Nothing more comes on that channel. */
  end?(channel: ChannelCode): void;
  event?(event: EventMessage): void;
  /** More may be sent on that channel. */
  credit?(channel: ChannelCode): void;
  /** The other side ended the stream. It is free already. */
  reset(error: WireError): void;
  /** The connection is gone, or was closed by us. */
  lost(error: unknown): void;
}

/** How a stream sends; given by its connection. */
export interface StreamLink {
  send(type: FrameTypeCode, channel: number, stream: number, payload?: Uint8Array): void;
  release(stream: number): void;
}

interface ChannelState {
  readonly send: SendWindow;
  readonly receive: ReceiveWindow;
  ended: boolean;
}

/** One stream as either side sees it: from its request until {@link reset}, {@link release} or a reset by the other side. */
export class WireStream {
  readonly id: number;
  readonly handler: StreamHandler;
  answered = false;
  readonly #link: StreamLink;
  readonly #channels: (ChannelState | undefined)[] = [undefined, undefined, undefined];
  #open = true;

  constructor(id: number, handler: StreamHandler, link: StreamLink) {
    this.id = id;
    this.handler = handler;
    this.#link = link;
  }

  /** False once the stream is over; sending then does nothing. */
  get open(): boolean {
    return this.#open;
  }

  /** Bytes that may be sent on the channel now. */
  sendable(channel: ChannelCode): number {
    return this.channel(channel).send.available;
  }

  /** Bytes of that channel the other side has said it consumed; it says so in steps. */
  acknowledged(channel: ChannelCode): number {
    return this.channel(channel).send.acknowledgedBytes;
  }

  /** Sends one frame. @throws RangeError beyond the credit or 64 KiB. */
  send(channel: ChannelCode, payload: Uint8Array): void {
    const { send } = this.channel(channel);
    if (payload.byteLength > send.available) throw new RangeError('no credit for that many bytes');
    if (!this.#open) return;
    send.take(payload.byteLength);
    this.#link.send(FrameType.data, channel, this.id, payload);
  }

  /** Ends our direction of the channel. */
  end(channel: ChannelCode): void {
    if (this.#open) this.#link.send(FrameType.eof, channel, this.id);
  }

  /** Lets the other side have so many bytes more under way on a channel than the protocol gives it to begin with. */
  widen(channel: ChannelCode, bytes: number): void {
    if (!this.#open) return;
    this.channel(channel).receive.widen(bytes);
    this.#link.send(FrameType.credit, channel, this.id, encodeCredit(bytes));
  }

  /** The reader has taken so many bytes; the other side is granted as many when it is worth a frame. */
  consumed(channel: ChannelCode, bytes: number): void {
    const state = this.channel(channel);
    const grant = state.receive.consume(bytes);
    if (grant === 0 || state.ended || !this.#open) return;
    this.#link.send(FrameType.credit, channel, this.id, encodeCredit(grant));
  }

  /** Ends the stream on both sides, at once. */
  reset(error: WireError): void {
    if (!this.#open) return;
    this.#link.send(FrameType.reset, 0, this.id, encodeReset(error));
    this.release();
  }

  /** Forgets the stream without a word; what still comes for it is dropped. */
  release(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#link.release(this.id);
  }

  /** For the connection: the state of a channel. */
  channel(channel: ChannelCode): ChannelState {
    const state = this.#channels[channel] ?? {
      send: new SendWindow(),
      receive: new ReceiveWindow(),
      ended: false,
    };
    this.#channels[channel] = state;
    return state;
  }
}
