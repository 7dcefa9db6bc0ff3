import { hash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { EndpointName } from '@vivarium/api/wire';
import { abortReason, VivError } from '@vivarium/model';
import { httpFor, trust } from './http.ts';
import {
  authorization,
  destination,
  errorOf,
  pathOf,
  readAll,
  type Send,
  type Transport,
  translate,
} from './transport.ts';
import { isGone } from './unreachable.ts';
import { WebSocket } from './web-socket.ts';

/** Of RFC 6455: what a server puts behind the key. */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

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

function tryOpen({ address }: Transport, name: EndpointName, send: Send): Promise<WebSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  const key = randomBytes(16).toString('base64');
  const request = httpFor(address).request({
    ...destination(address),
    ...trust(address),
    // A connection of its own: it stays, and none of those that wait to be used again may have been closed meanwhile.
    agent: false,
    path: pathOf(name, send),
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': key,
      ...authorization(address),
    },
  });
  const abort = () => request.destroy();
  send.signal?.addEventListener('abort', abort, { once: true });
  promise
    .finally(() => send.signal?.removeEventListener('abort', abort))
    .catch(() => undefined /* told by `promise` */);
  request.on('upgrade', (answer, raw, head) => {
    if (answer.headers['sec-websocket-accept'] === hash('sha1', key + acceptSuffix, 'base64'))
      return resolve(new WebSocket(raw as Socket, head));
    raw.destroy();
    reject(new VivError('internal', 'The daemon has answered an upgrade with something else'));
  });
  request.on('response', (answer) => {
    // Ended only after its reason has been read: the end is an error of its own.
    readAll(answer, address)
      .then((text) => reject(errorOf(text, answer.statusCode ?? 500)), reject)
      .finally(() => request.destroy());
  });
  request.on('error', reject);
  request.end();
  return promise;
}
