import { setTimeout as delay } from 'node:timers/promises';
import { VivError } from '@vivarium/model';

/** Tries of one request, and the wait before the second; it doubles. */
const attempts = 4;
const firstBackoffMs = 200;
/** A registry that takes longer than this to begin an answer is taken for dead. */
export const answerDeadlineMs = 30_000;
const maximumRedirects = 5;

/** Codes of a connection that was there and broke: worth another try. */
const resets = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);

function codeOf(error: unknown): string {
  for (let each = error; each instanceof Error; each = each.cause) {
    const { code } = each as NodeJS.ErrnoException;
    if (typeof code === 'string') return code;
  }
  return '';
}

export function isReset(error: unknown): boolean {
  return resets.has(codeOf(error));
}

const noTls = 'it does not speak TLS';

export function unreachable(url: URL, error: unknown): VivError {
  const code = codeOf(error);
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'its name is not known',
    EAI_AGAIN: 'its name cannot be looked up now',
    EPROTO: noTls,
    ERR_SSL_WRONG_VERSION_NUMBER: noTls,
    ERR_SSL_PACKET_LENGTH_TOO_LONG: noTls,
  };
  const why =
    words[code] ??
    (error instanceof Error && error.name === 'TimeoutError' ? 'it does not answer' : code || String(error));
  const untrusted = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(code);
  const hint = untrusted
    ? 'Name the file with its certificate authority in NODE_EXTRA_CA_CERTS where vivd is started.'
    : why === noTls
      ? 'If it is to be spoken to without TLS, say so (insecure).'
      : undefined;
  return new VivError('registry_unreachable', `The registry ${url.host} cannot be reached: ${why}`, {
    hint,
    cause: error,
  });
}

/** Whether a request may go to where a registry redirects it. */
function checkRedirect(from: URL, to: URL, plainAllowed: boolean): void {
  if (to.protocol === 'https:' || (to.protocol === 'http:' && (from.protocol === 'http:' || plainAllowed)))
    return;
  throw new VivError(
    'registry_unreachable',
    `The registry ${from.host} redirects to ${to.protocol}//${to.host}, which is not safe`,
  );
}

export interface HttpRequest {
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
  /** Redirects to plain http are followed. */
  plainAllowed?: boolean;
}

/** One request, redirects followed; `Authorization` stays with the host it was meant for. */
async function once(start: URL, request: HttpRequest): Promise<Response> {
  let url = start;
  const headers: Record<string, string> = {
    'user-agent': 'vivarium',
    'accept-encoding': 'identity',
    ...request.headers,
  };
  for (let redirects = 0; ; redirects++) {
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(new DOMException('No answer in time', 'TimeoutError')),
      answerDeadlineMs,
    );
    const signal = request.signal ? AbortSignal.any([request.signal, deadline.signal]) : deadline.signal;
    let response: Response;
    try {
      response = await fetch(url, {
        method: request.method ?? 'GET',
        headers,
        body: request.body,
        redirect: 'manual',
        signal,
      });
    } finally {
      clearTimeout(timer);
    }
    const location = response.headers.get('location');
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
    await response.body?.cancel();
    if (redirects >= maximumRedirects)
      throw new VivError('registry_unreachable', `The registry ${start.host} redirects without end`);
    const next = URL.parse(location, url.href);
    if (!next) throw new VivError('registry_unreachable', `The registry ${start.host} redirects to nowhere`);
    checkRedirect(url, next, request.plainAllowed ?? false);
    if (next.host !== url.host || next.protocol !== url.protocol) delete headers.authorization;
    url = next;
  }
}

/**
 * A request with patience for what passes by itself: broken connections and 5xx answers are tried again; nothing else is.
 *
 * @throws VivError `registry_unreachable`, `cancelled`.
 */
export async function send(url: URL, request: HttpRequest): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const last = attempt === attempts;
    try {
      const response = await once(url, request);
      if (response.status < 500 || last) return response;
      await response.body?.cancel();
    } catch (error) {
      if (request.signal?.aborted) throw VivError.from(request.signal.reason);
      if (error instanceof VivError) throw error;
      if (!isReset(error) || last) throw unreachable(url, error);
    }
    try {
      await delay(firstBackoffMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2), undefined, {
        signal: request.signal,
      });
    } catch (error) {
      throw VivError.from(request.signal?.reason ?? error);
    }
  }
}

/** All of a small body. @throws VivError `image_invalid` past the limit, `registry_unreachable` where it breaks off. */
export async function readBody(response: Response, limit: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body ?? []) {
      size += chunk.byteLength;
      if (size > limit) throw new VivError('image_invalid', `The ${what} is larger than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof VivError) throw error;
    if (error instanceof Error && error.name === 'AbortError') throw VivError.from(error);
    throw unreachable(new URL(response.url || 'http://registry'), error);
  }
  return Buffer.concat(chunks);
}
