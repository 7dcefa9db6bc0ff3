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

/** Says everything in one write, and listens for the first byte on stdout: no streams, no credit, nothing is looked at twice. */
export function firstOutput(
  socket: Socket,
  requests: readonly (readonly [method: string, params: object])[],
): Promise<void> {
  const epoch = randomBytes(8).readBigUInt64LE();
  const hello = encodeFrame({ type: FrameType.hello, flags: 0, epoch, stream: 0 }, encodeHello('floor'));
  const asked = requests.map(([method, params], index) =>
    encodeFrame(
      { type: FrameType.request, flags: 0, epoch, stream: index + 1 },
      encodeRequest(method, params),
    ),
  );
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const decoder = new FrameDecoder();
  socket.on('data', (chunk: Buffer) =>
    decoder.push(chunk, ({ type, flags }) => {
      if (type === FrameType.data && (flags & 0xff) === Channel.stdout) resolve();
      if (type === FrameType.welcome && asked.length === 0) resolve();
    }),
  );
  socket.once('close', () => reject(new Error('The guest ended before it said anything')));
  socket.write(Buffer.concat([hello, ...asked]));
  return promise;
}
