import type { EndpointName } from '@vivarium/api/wire';
import { abortReason, VivError } from '@vivarium/model';
import { WebSocket } from 'ws';
import { trust } from './http.ts';
import {
  authorization,
  errorOf,
  pathOf,
  readAll,
  type Send,
  type Transport,
  translate,
} from './transport.ts';
import { isGone } from './unreachable.ts';

/**
 * Opens a WebSocket route. It comes paused: whoever takes it listens first and then resumes it, so that no frame is
 * missed. A refusal before the upgrade is the error it says.
 */
export async function openSocket(
  transport: Transport,
  name: EndpointName,
  send: Send = {},
): Promise<WebSocket> {
  if (send.signal?.aborted) throw abortReason(send.signal);
  try {
    return await tryOpen(transport, name, send);
  } catch (error) {
    if (error instanceof VivError || !isGone(error) || send.signal?.aborted)
      throw translate(error, send.signal, transport.address);
    await transport.revive(send.signal);
  }
  try {
    return await tryOpen(transport, name, send);
  } catch (error) {
    throw translate(error, send.signal, transport.address);
  }
}

function tryOpen(transport: Transport, name: EndpointName, send: Send): Promise<WebSocket> {
  const { address } = transport;
  const path = pathOf(name, send);
  const url =
    'socket' in address
      ? `ws+unix://${address.socket}:${path}`
      : `${address.url.origin.replace(/^http/, 'ws')}${path}`;
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    headers: authorization(address),
    ...trust(address),
  });
  const abort = () => socket.terminate();
  send.signal?.addEventListener('abort', abort, { once: true });
  socket.once('open', () => {
    send.signal?.removeEventListener('abort', abort);
    socket.pause();
    resolve(socket);
  });
  socket.on('unexpected-response', (_request, answer) => {
    // Ended only after its reason has been read: the end is an error of its own.
    readAll(answer, address)
      .then((text) => reject(errorOf(text, answer.statusCode ?? 500)), reject)
      .finally(() => socket.terminate());
  });
  // Also keeps errors after the opening from being thrown; the close that follows them is what counts.
  socket.on('error', (error) => {
    send.signal?.removeEventListener('abort', abort);
    reject(error);
  });
  return promise;
}
