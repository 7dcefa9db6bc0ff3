import { Duplex } from 'node:stream';
import { abortReason, VivError } from '@vivarium/model';
import type { WebSocket } from './web-socket.ts';

interface Said {
  open?: boolean;
  eof?: boolean;
  error?: { code: string; message: string };
}

/**
 * A WebSocket of bytes as a Duplex; resolves once the other end is connected. Either half ends by itself. An abort ends the
 * waiting, and later the stream.
 */
export function openDuplex(socket: WebSocket, signal?: AbortSignal): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  let ended = false;
  const unheard = () => undefined;
  const stream = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => socket.send(chunk, done),
    final: (done) => {
      socket.send('{"eof":true}', (error) => done(error));
    },
    destroy: (error, done) => {
      // A paused socket would not see the close.
      socket.resume();
      socket.close();
      done(error);
    },
  });
  const fail = (error: VivError) => {
    reject(error);
    stream.destroy(error);
  };
  socket.on('message', (data, binary) => {
    if (binary) {
      if (!stream.push(data)) socket.pause();
      return;
    }
    const said = JSON.parse(String(data)) as Said;
    if (said.open) {
      stream.off('error', unheard);
      resolve(stream);
    }
    if (said.error) fail(VivError.fromRecord(said.error));
    if (said.eof && !ended) {
      ended = true;
      stream.push(null);
    }
  });
  socket.on('close', () => {
    reject(new VivError('daemon_unreachable', 'The connection was closed before it was open'));
    if (!ended) fail(new VivError('daemon_unreachable', 'The connection to vivd was lost'));
    else stream.destroy();
  });
  // Until it is open nobody has the stream; whoever waits for it hears of the failure.
  stream.on('error', unheard);
  const abort = () => signal && fail(abortReason(signal));
  signal?.addEventListener('abort', abort, { once: true });
  stream.once('close', () => signal?.removeEventListener('abort', abort));
  if (signal?.aborted) abort();
  socket.resume();
  return promise;
}
