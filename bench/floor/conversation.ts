import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  Channel,
  encodeFrame,
  encodeHello,
  encodeRequest,
  FrameDecoder,
  FrameType,
} from '@vivarium/protocol';

export type Requests = readonly (readonly [method: string, params: object])[];

/** What a guest said: nothing of it is looked into. */
interface Heard {
  type: number;
  flags: number;
  stream: number;
}

/** Something on stdout. */
export const printed = ({ type, flags }: Heard): boolean =>
  type === FrameType.data && (flags & 0xff) === Channel.stdout;

/** Says everything in one write, and listens for the first byte on stdout: no streams, no credit, nothing is looked at twice. */
export function firstOutput(socket: Socket, requests: Requests): Promise<void> {
  const welcome = ({ type }: Heard) => type === FrameType.welcome;
  return new Conversation(socket).say(requests, requests.length === 0 ? welcome : printed);
}

/** The host's end of a port, greeted with the first words. */
export class Conversation {
  readonly #socket: Socket;
  readonly #epoch = randomBytes(8).readBigUInt64LE();
  #streams = 0;
  #hears: (heard: Heard) => void = () => undefined;
  #lost: (error: Error) => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const decoder = new FrameDecoder();
    socket.on('data', (chunk: Buffer) => decoder.push(chunk, (frame) => this.#hears(frame)));
    socket.once('close', () => this.#lost(new Error('The guest ended before it said anything')));
  }

  /** Resolves once the last of them is answered. */
  ask(requests: Requests): Promise<void> {
    const last = this.#streams + requests.length;
    return this.say(requests, ({ type, stream }) => type === FrameType.response && stream === last);
  }

  say(requests: Requests, until: (heard: Heard) => boolean): Promise<void> {
    const epoch = this.#epoch;
    const hello =
      this.#streams === 0
        ? [encodeFrame({ type: FrameType.hello, flags: 0, epoch, stream: 0 }, encodeHello('floor'))]
        : [];
    const asked = requests.map(([method, params]) => {
      this.#streams += 1;
      const header = { type: FrameType.request, flags: 0, epoch, stream: this.#streams };
      return encodeFrame(header, encodeRequest(method, params));
    });
    return new Promise((resolve, reject) => {
      this.#lost = reject;
      this.#hears = (heard) => {
        if (until(heard)) resolve();
      };
      this.#socket.write(Buffer.concat([...hello, ...asked]));
    });
  }
}
