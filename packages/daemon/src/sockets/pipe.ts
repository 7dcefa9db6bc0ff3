import type { Duplex } from 'node:stream';
import { VivError } from '@vivarium/model';
import type { FrameSocket } from './socket.ts';
import type { SocketHandler } from './upgrade.ts';

export const consoleSocket: SocketHandler = async ({ socket, vm }) => {
  await joinStreams(socket, await vm.console({ signal: socket.gone }));
};

export const tunnelSocket: SocketHandler = async ({ socket, vm, query }) => {
  const { port, host } = query as { port: number; host?: string };
  await joinStreams(socket, await vm.connect(port, { host, signal: socket.gone }));
};

/** Carries bytes both ways until both have ended or one breaks; each waits for the other's reader. */
async function joinStreams(socket: FrameSocket, stream: Duplex): Promise<void> {
  void socket.sendJson({ open: true });
  const end = () => stream.destroy();
  socket.gone.addEventListener('abort', end, { once: true });
  try {
    await Promise.all([outward(socket, stream), inward(socket, stream)]);
    socket.close();
  } catch (error) {
    if (!socket.gone.aborted) {
      void socket.sendJson({ error: VivError.from(error).toJSON() });
      socket.close(1011, 'the stream broke');
    }
  } finally {
    socket.gone.removeEventListener('abort', end);
    stream.destroy();
  }
}

async function outward(socket: FrameSocket, stream: Duplex): Promise<void> {
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>)
    await socket.send(chunk);
  await socket.sendJson({ eof: true });
  // A console has no halves: nobody would read what is still written to it. A tunnel may be written to further.
  if (!stream.writable) socket.close();
}

async function inward(socket: FrameSocket, stream: Duplex): Promise<void> {
  for (let frame = await socket.next(); frame !== undefined; frame = await socket.next()) {
    if (!frame.binary) {
      stream.end();
      return;
    }
    if (!stream.write(frame.data)) await drained(stream);
  }
  stream.destroy();
}

function drained(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      stream.off('drain', settle).off('close', settle);
      resolve();
    };
    stream.once('drain', settle).once('close', settle);
    if (stream.destroyed) settle();
  });
}
