import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { urlToHttpOptions } from 'node:url';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  json: Record<string, unknown>;
}

/** A request over the unix socket, or to a URL, as any HTTP client would make it. */
export function call(
  where: string,
  method: string,
  path: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  const data = body === undefined ? undefined : raw ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const type = data === undefined || raw ? {} : { 'content-type': 'application/json' };
    const options = { method, headers: { ...type, ...headers } };
    const at = where.startsWith('http:')
      ? { ...options, ...urlToHttpOptions(new URL(path, where)) }
      : { ...options, socketPath: where, path };
    const sent = request(at, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      answer.on('error', reject).on('end', () => {
        // The answer to HEAD has a type and no body.
        const isJson = text !== '' && answer.headers['content-type']?.startsWith('application/json');
        const json = isJson ? JSON.parse(text) : {};
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json });
      });
    });
    sent.on('error', reject).end(data);
  });
}

/** Bytes as they are, and what comes back until the other end closes. */
export function sendRaw(socketPath: string, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(socketPath, () => socket.write(bytes));
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', reject).on('close', () => resolve(text));
  });
}
