import type { Agent, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { type EndpointName, endpoints, errorTrailer, idempotencyHeader } from '@vivarium/api/wire';
import { abortReason, VivError } from '@vivarium/model';
import { again, isStream } from './again.ts';
import { httpFor, trust } from './http.ts';
import { isGone, isUntrusted, unreachable } from './unreachable.ts';

/** Where the daemon is. */
export type Address = { socket: string } | { url: URL; token?: string; ca?: string };

export interface Send {
  params?: Record<string, string>;
  query?: Record<string, string | number | boolean | string[] | Record<string, string> | undefined>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; a stream is sent piece by piece. */
  bytes?: Uint8Array | AsyncIterable<Uint8Array>;
  accept?: string;
  /** RFC 7240. */
  prefer?: string;
  signal?: AbortSignal;
  /** Only for routes that make something. */
  idempotencyKey?: string;
}

/** HTTP to the daemon over connections that stay open. Knows how to find it again, or to have it started. */
export class Transport {
  readonly address: Address;
  readonly #agent: Agent;
  readonly #revive: ((signal?: AbortSignal) => Promise<void>) | undefined;

  /** `revive` is called when nobody answers, and has settled when somebody does. */
  constructor(address: Address, revive?: (signal?: AbortSignal) => Promise<void>) {
    this.address = address;
    const agent = { keepAlive: true, maxSockets: 64, maxFreeSockets: 8 };
    this.#agent = new (httpFor(address).Agent)({ ...agent, ...trust(address) });
    this.#revive = revive;
  }

  /** The answer of a route, when it is none of failure. What only reads is asked again where the connection breaks. */
  async send(name: EndpointName, options: Send = {}): Promise<IncomingMessage> {
    const { signal } = options;
    if (signal?.aborted) throw abortReason(signal);
    if (isStream(options.bytes)) {
      // It can't be sent again: somebody has to be there before it begins.
      await this.revive(signal);
      return this.#translated(name, options);
    }
    if (endpoints[name][0] !== 'GET') return this.#sought(name, options);
    return again(signal, () => this.#sought(name, options));
  }

  async json<T>(
    name: EndpointName,
    options: Send = {},
  ): Promise<{ value: T; status: number; headers: IncomingMessage['headers'] }> {
    const answer = await this.send(name, options);
    const text = (await readAll(answer, this.address)).toString();
    const value = (text === '' ? undefined : JSON.parse(text)) as T;
    return { value, status: answer.statusCode ?? 0, headers: answer.headers };
  }

  async bytes(name: EndpointName, options: Send = {}): Promise<Buffer> {
    return readAll(await this.send(name, options), this.address);
  }

  /** Makes sure that somebody answers, for what does not go through {@link Transport.send}. */
  async revive(signal?: AbortSignal): Promise<void> {
    await this.#revive?.(signal);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Where nothing was sent since nobody was there, somebody is looked for once. */
  async #sought(name: EndpointName, options: Send): Promise<IncomingMessage> {
    try {
      return await this.#once(name, options);
    } catch (error) {
      const { signal } = options;
      if (signal?.aborted || this.#revive === undefined || !neverArrived(error))
        throw translate(error, signal, this.address);
      await this.#revive(signal);
      return this.#translated(name, options);
    }
  }

  async #translated(name: EndpointName, options: Send): Promise<IncomingMessage> {
    try {
      return await this.#once(name, options);
    } catch (error) {
      throw translate(error, options.signal, this.address);
    }
  }

  #once(name: EndpointName, options: Send): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const { bytes, json, signal } = options;
    const body = json === undefined ? bytes : Buffer.from(JSON.stringify(json));
    const request = httpFor(this.address).request({
      ...destination(this.address),
      agent: this.#agent,
      method: endpoints[name][0],
      path: pathOf(name, options),
      headers: {
        ...(options.accept === undefined ? {} : { accept: options.accept }),
        ...(options.idempotencyKey === undefined ? {} : { [idempotencyHeader]: options.idempotencyKey }),
        ...(options.prefer === undefined ? {} : { prefer: options.prefer }),
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(body instanceof Uint8Array ? { 'content-length': body.byteLength } : {}),
        ...authorization(this.address),
      },
      signal,
    });
    const upload = isStream(body) ? Readable.from(body, { objectMode: false }) : undefined;
    let answered = false;
    request.on('response', (answer) => {
      answered = true;
      if ((answer.statusCode ?? 500) < 400) return resolve(answer);
      // An upload that was refused is not sent to its end.
      upload?.unpipe(request);
      readAll(answer, this.address)
        .then((text) => reject(errorOf(text, answer.statusCode ?? 500)), reject)
        .finally(() => upload !== undefined && request.destroy());
    });
    request.on('error', (error) => {
      if (!answered) reject(error);
    });
    if (upload !== undefined) {
      upload.on('error', (error) => {
        reject(unreadable(error));
        request.destroy();
      });
      request.on('close', () => upload.destroy());
      upload.pipe(request);
    } else request.end(body as Uint8Array | undefined);
    return promise;
  }
}

export function destination(
  address: Address,
): { socketPath: string; servername: string } | { host: string; port: string } {
  // Without a name for TLS, Node looks whether the host is an address of IPv6, and compiles an expression for that in 5 ms.
  if ('socket' in address) return { socketPath: address.socket, servername: '' };
  const { hostname, port, protocol } = address.url;
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port || (protocol === 'https:' ? '443' : '80') };
}

export function authorization(address: Address): Record<string, string> {
  return 'url' in address && address.token !== undefined ? { authorization: `Bearer ${address.token}` } : {};
}

/** The path of a route with its parameters and query, percent-encoded. */
export function pathOf(name: EndpointName, { params = {}, query = {} }: Send): string {
  const path = endpoints[name][1].replaceAll(/\{(\w+)\}/g, (_, key: string) =>
    encodeURIComponent(params[key] ?? ''),
  );
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    if (Array.isArray(value)) for (const item of value) search.append(key, item);
    else if (typeof value === 'object')
      for (const [inner, item] of Object.entries(value)) search.append(`${key}[${inner}]`, item);
    else search.append(key, String(value));
  }
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}

/** All of an answer. One that breaks off is an error, never a short answer. */
export async function readAll(answer: IncomingMessage, address: Address): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of readBytes(answer, address)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The bytes of an answer, and the error that its sender found on the way. */
export async function* readBytes(
  answer: IncomingMessage,
  address: Address,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    throw translate(error, signal, address);
  }
  const trailer = answer.trailers[errorTrailer];
  if (trailer !== undefined) throw VivError.fromRecord(JSON.parse(decodeURIComponent(trailer)));
}

/** The error in an answer; one without our body is described by its status. */
export function errorOf(text: Buffer | string, status: number): VivError {
  try {
    const record = JSON.parse(text.toString()) as { code?: unknown; message?: unknown };
    if (typeof record.code === 'string' && typeof record.message === 'string')
      return VivError.fromRecord(record as never);
  } catch {
    // Not ours; told below.
  }
  return new VivError('internal', `The daemon answered ${status}: ${text.toString().slice(0, 200)}`);
}

/** What a failed request means to its caller. */
export function translate(error: unknown, signal: AbortSignal | undefined, address: Address): unknown {
  if (signal?.aborted) return abortReason(signal);
  if (isGone(error) || isUntrusted(error)) return unreachable(address, error);
  return VivError.from(error);
}

/** What the source of an upload failed with: never to be taken for a failure of the connection, as its ENOENT would be. */
function unreadable(error: Error): VivError {
  const known = VivError.from(error);
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return known;
  return new VivError('path_not_found', `What was to be sent can't be read: ${error.message}`, {
    cause: error,
  });
}

function neverArrived(error: unknown): boolean {
  return ['ECONNREFUSED', 'ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}
