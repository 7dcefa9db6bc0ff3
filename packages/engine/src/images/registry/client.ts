import { VivError } from '@vivarium/model';
import { type Digest, digestOf, verifyDigest } from '../digest.ts';
import { type Descriptor, indexTypes, manifestTypes, maximumDocumentBytes } from '../oci.ts';
import type { Reference } from '../reference.ts';
import { basicHeader, fetchToken, parseChallenges } from './auth.ts';
import type { FoundCredentials } from './credentials.ts';
import { readBody, send } from './http.ts';

/** Registries on this machine are spoken to without TLS, as Docker does. */
export function isLocal(registry: string): boolean {
  return /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(registry);
}

export interface RegistryOptions {
  plain: boolean;
  findCredentials(): Promise<FoundCredentials>;
}

/** What the registry says of an error: `{"errors":[{"code","message"}]}`. */
function said(body: Buffer): string {
  try {
    const { errors } = JSON.parse(body.toString('utf8')) as {
      errors?: { code?: string; message?: string }[];
    };
    const first = errors?.[0];
    return first ? `: ${[first.code, first.message].filter(Boolean).join(': ').slice(0, 300)}` : '';
  } catch {
    return ''; // Not every error comes with a document; the status says enough.
  }
}

/** One repository of one registry, for the length of a pull. */
export class RegistryClient {
  readonly #reference: Reference;
  readonly #options: RegistryOptions;
  readonly #base: URL;
  #authorization: string | undefined;
  #found: Promise<FoundCredentials> | undefined;
  #authorizing: Promise<void> | undefined;

  constructor(reference: Reference, options: RegistryOptions) {
    this.#reference = reference;
    this.#options = options;
    const host = reference.registry === 'docker.io' ? 'registry-1.docker.io' : reference.registry;
    this.#base = new URL(`${options.plain ? 'http' : 'https'}://${host}/v2/${reference.repository}/`);
  }

  /** Answers a 401: afterwards requests carry what the registry asked for. */
  async #authorize(challengeHeader: string, signal?: AbortSignal): Promise<void> {
    const challenge = parseChallenges(challengeHeader);
    if (!challenge) throw await this.#denied(401, '');
    this.#found ??= this.#options.findCredentials();
    const { credentials } = await this.#found;
    if (challenge.scheme === 'basic') {
      this.#authorization = basicHeader(credentials);
      if (!this.#authorization) throw await this.#denied(401, '');
      return;
    }
    const scope = `repository:${this.#reference.repository}:pull`;
    const plainAllowed = this.#options.plain;
    this.#authorization = `Bearer ${await fetchToken(challenge, scope, credentials, { signal, plainAllowed })}`;
  }

  async #denied(status: number, why: string): Promise<VivError> {
    const { registry, repository } = this.#reference;
    const { credentials, problem } = (await this.#found) ?? {};
    const who = credentials ? 'with the credentials there are' : 'without credentials';
    return new VivError(
      'registry_denied',
      `${registry} does not give ${repository} away ${who} (${status})${why}`,
      {
        hint: problem
          ? `No credentials were found: ${problem}.`
          : `It does not exist, or you have to log in: docker login ${registry}`,
      },
    );
  }

  /** A GET that has been authorised. The status is 200, or 206 for a range, or 416. */
  async get(
    path: string,
    headers: Record<string, string>,
    what: string,
    signal?: AbortSignal,
  ): Promise<Response> {
    const url = new URL(path, this.#base);
    for (let refused = 0; ; ) {
      const authorization = this.#authorization;
      const response = await send(url, {
        headers: authorization ? { ...headers, authorization } : headers,
        signal,
        plainAllowed: this.#options.plain,
      });
      if (response.ok || response.status === 416) return response;
      const body = await readBody(response, maximumDocumentBytes, 'answer').catch(() => Buffer.alloc(0));
      // Tokens live for minutes; a long pull needs a second one. Parallel layers share one.
      if (response.status === 401 && refused++ < 2) {
        if (authorization === this.#authorization) {
          this.#authorizing ??= this.#authorize(
            response.headers.get('www-authenticate') ?? '',
            signal,
          ).finally(() => {
            this.#authorizing = undefined;
          });
          await this.#authorizing;
        }
        continue;
      }
      throw await this.#failure(response.status, what, said(body));
    }
  }

  async #failure(status: number, what: string, why: string): Promise<VivError> {
    const { registry } = this.#reference;
    if (status === 401 || status === 403) return this.#denied(status, why);
    if (status === 404) {
      return new VivError('image_not_found', `${registry} has no ${what}${why}`, {
        hint: 'Check the name and the tag.',
      });
    }
    if (status === 429)
      return new VivError('rate_limited', `${registry} has had too many requests${why}`, {
        hint: 'Wait, or log in.',
      });
    return new VivError('registry_unreachable', `${registry} answered ${status} for ${what}${why}`);
  }

  /** A manifest or index, by tag or digest, its digest verified. */
  async manifest(tagOrDigest: string, signal?: AbortSignal): Promise<Buffer> {
    const { repository } = this.#reference;
    const what = `${repository}${tagOrDigest.includes(':') ? '@' : ':'}${tagOrDigest}`;
    const accept = [...indexTypes, ...manifestTypes].join(', ');
    const response = await this.get(`manifests/${tagOrDigest}`, { accept }, what, signal);
    const body = await readBody(response, maximumDocumentBytes, 'manifest');
    const promised: Digest | null = tagOrDigest.includes(':')
      ? tagOrDigest
      : response.headers.get('docker-content-digest');
    if (promised?.startsWith('sha256:')) verifyDigest('the manifest', promised, digestOf(body));
    return body;
  }

  /** A small blob: the configuration. */
  async document(descriptor: Descriptor, what: string, signal?: AbortSignal): Promise<Buffer> {
    const response = await this.get(`blobs/${descriptor.digest}`, {}, what, signal);
    const body = await readBody(response, maximumDocumentBytes, what);
    verifyDigest(`the ${what}`, descriptor.digest, digestOf(body));
    return body;
  }

  /** The body of a blob from an offset on; see {@link get} for the status. */
  async blob(digest: Digest, offset: number, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    return this.get(`blobs/${digest}`, headers, `layer ${digest}`, signal);
  }
}
