import type { Duplex } from 'node:stream';
import {
  type ChannelCode,
  decodeCredit,
  decodeHello,
  decodeRequest,
  decodeReset,
  encodeEvent,
  encodeFailure,
  encodeFrame,
  encodeFrameParts,
  encodeResult,
  encodeWelcome,
  type Frame,
  FrameDecoder,
  FrameType,
  type FrameTypeCode,
  ProtocolError,
  protocolVersion,
  type Request,
  type Welcome,
  type WireError,
  WireStream,
} from '@vivarium/protocol';
import type { Flood, GuestFaults } from './guest-faults.ts';

/** What stands behind a port. */
export interface PortOwner {
  readonly faults: GuestFaults;
  welcome(): Omit<Welcome, 'version'>;
  request(port: AgentPort, stream: WireStream, request: Request): void;
}

/** The guest's half of the protocol on one port: greets, answers, and keeps streams and credit. */
export class AgentPort {
  readonly #duplex: Duplex;
  readonly #owner: PortOwner;
  readonly #decoder = new FrameDecoder();
  readonly #streams = new Map<number, WireStream>();
  #epoch: bigint | undefined;

  constructor(duplex: Duplex, owner: PortOwner) {
    this.#duplex = duplex;
    this.#owner = owner;
    duplex.on('data', (chunk: Buffer) => this.#decoder.push(chunk, (frame) => this.#receive(frame)));
    duplex.on('close', () => this.#endStreams());
    duplex.on('error', () => duplex.destroy());
  }

  /** A host has been greeted and is still there. */
  get connected(): boolean {
    return this.#epoch !== undefined && !this.#duplex.destroyed;
  }

  /** Streams the guest still keeps. */
  get streamCount(): number {
    return this.#streams.size;
  }

  close(): void {
    this.#duplex.destroy();
  }

  respond(stream: WireStream, result: object): void {
    if (stream.open) this.send(FrameType.response, 0, stream.id, encodeResult(result));
  }

  fail(stream: WireStream, error: WireError): void {
    if (stream.open) this.send(FrameType.response, 0, stream.id, encodeFailure(error));
    stream.release();
  }

  /** On stream 0 an event of the guest itself. */
  event(stream: number, name: string, fields: object): void {
    if (this.connected) this.send(FrameType.event, 0, stream, encodeEvent(name, fields));
  }

  send(type: FrameTypeCode, flags: number, stream: number, payload?: Uint8Array): void {
    if (this.#epoch === undefined) return;
    for (const part of encodeFrameParts({ type, flags, epoch: this.#epoch, stream }, payload))
      this.#write(part);
    const { faults } = this.#owner;
    if (faults.dropAfterFrames === undefined) return;
    faults.dropAfterFrames -= 1;
    if (faults.dropAfterFrames > 0) return;
    faults.dropAfterFrames = undefined;
    this.close();
  }

  /** For streams. */
  release(stream: number): void {
    this.#streams.delete(stream);
  }

  /** Writes bytes that are no frame, or not one of ours. */
  sendRaw(bytes: Uint8Array): void {
    if (!this.#duplex.destroyed) this.#duplex.write(bytes);
  }

  /** Floods the host until it closes the port, as fast as it reads. */
  async flood(kind: Flood): Promise<void> {
    const block = this.#floodBlock(kind);
    while (!this.#duplex.destroyed) {
      if (this.#duplex.write(block)) await new Promise((resolve) => setImmediate(resolve));
      else {
        await new Promise<void>((resolve) => {
          this.#duplex.once('drain', resolve);
          this.#duplex.once('close', resolve);
        });
      }
    }
  }

  #floodBlock(kind: Flood): Buffer {
    const epoch = this.#epoch ?? 0n;
    const stream = [...this.#streams.keys()].at(-1) ?? 1;
    const frames: Record<Flood, () => Buffer> = {
      events: () =>
        encodeFrame(
          { type: FrameType.event, flags: 0, epoch, stream: 0 },
          encodeEvent('log', { level: 'info', text: '!' }),
        ),
      pings: () => encodeFrame({ type: FrameType.ping, flags: 0, epoch, stream: 0 }, Buffer.alloc(64)),
      garbage: () => Buffer.from('VIV1VIV', 'latin1'),
      'old-epoch': () => encodeFrame({ type: FrameType.data, flags: 1, epoch: ~epoch & 0xffffffffn, stream }),
      'unknown-stream': () =>
        encodeFrame({ type: FrameType.data, flags: 1, epoch, stream: 0xfffffff0 }, Buffer.alloc(100)),
      'stream-data': () => encodeFrame({ type: FrameType.data, flags: 1, epoch, stream }, Buffer.alloc(1)),
    };
    return Buffer.concat(Array.from({ length: 100 }, frames[kind]));
  }

  #write(bytes: Uint8Array): void {
    if (this.#duplex.destroyed) return;
    const { faults } = this.#owner;
    if (faults.dropAfterBytes === undefined || faults.dropAfterBytes > bytes.byteLength) {
      if (faults.dropAfterBytes !== undefined) faults.dropAfterBytes -= bytes.byteLength;
      this.#duplex.write(bytes);
      return;
    }
    this.#duplex.write(bytes.subarray(0, faults.dropAfterBytes));
    faults.dropAfterBytes = undefined;
    this.close();
  }

  #receive(frame: Frame): void {
    try {
      if (frame.type === FrameType.hello) this.#onHello(frame);
      else if (frame.epoch !== this.#epoch) return;
      else if (frame.type === FrameType.ping) this.send(FrameType.pong, 0, 0, Buffer.from(frame.payload));
      else if (frame.type === FrameType.request) this.#onRequest(frame);
      else this.#onStream(frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      const refusal = { code: 'invalid_request', message: error.message };
      const stream = this.#streams.get(frame.stream);
      if (frame.type === FrameType.request && stream !== undefined) this.fail(stream, refusal);
      else {
        stream?.handler.reset(refusal);
        stream?.reset(refusal);
      }
    }
  }

  #onHello(frame: Frame): void {
    const hello = decodeHello(frame.payload);
    this.#endStreams();
    if (this.#owner.faults.mute) return;
    this.#epoch = frame.epoch;
    const version = hello.versions.includes(protocolVersion) ? protocolVersion : 0;
    this.send(FrameType.welcome, 0, 0, encodeWelcome({ version, ...this.#owner.welcome() }));
    if (version === 0) this.#epoch = undefined;
  }

  #onRequest(frame: Frame): void {
    if (frame.stream === 0 || this.#streams.has(frame.stream)) return;
    const stream = new WireStream(frame.stream, { reset: () => undefined, lost: () => undefined }, this);
    this.#streams.set(stream.id, stream);
    this.#owner.request(this, stream, decodeRequest(frame.payload));
  }

  #onStream(frame: Frame): void {
    const stream = this.#streams.get(frame.stream);
    if (stream === undefined) return;
    const channel = (frame.flags & 0xff) as ChannelCode;
    const { handler } = stream;
    if (frame.type === FrameType.data) {
      stream.channel(channel).receive.receive(frame.payload.length);
      handler.data?.(channel, frame.payload);
    } else if (frame.type === FrameType.eof) handler.end?.(channel);
    else if (frame.type === FrameType.credit) {
      stream.channel(channel).send.grant(decodeCredit(frame.payload));
      handler.credit?.(channel);
    } else if (frame.type === FrameType.reset) {
      stream.release();
      handler.reset(decodeReset(frame.payload));
    }
  }

  #endStreams(): void {
    for (const stream of [...this.#streams.values()]) {
      stream.release();
      stream.handler.lost(new Error('the host has gone'));
    }
  }
}
