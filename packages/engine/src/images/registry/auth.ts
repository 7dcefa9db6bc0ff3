import { VivError } from '@vivarium/model';
import type { Credentials } from './credentials.ts';
import { type HttpRequest, readBody, send } from './http.ts';

const maximumTokenBytes = 1024 * 1024;

export interface Challenge {
  scheme: 'basic' | 'bearer';
  parameters: Record<string, string>;
}

/** The first challenge we can answer, Bearer before Basic: `Bearer realm="…",service="…",scope="…"`. */
export function parseChallenges(header: string): Challenge | undefined {
  const found: Challenge[] = [];
  const token = /\s*([A-Za-z0-9_-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?\s*,?/gy;
  for (let match = token.exec(header); match; match = token.exec(header)) {
    const [, name = '', quoted, plain] = match;
    const scheme = name.toLowerCase();
    const current = found.at(-1);
    if (quoted === undefined && plain === undefined)
      found.push({ scheme: scheme as Challenge['scheme'], parameters: {} });
    else if (current) current.parameters[scheme] = quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '';
  }
  return found.find(({ scheme }) => scheme === 'bearer') ?? found.find(({ scheme }) => scheme === 'basic');
}

export function basicHeader(credentials: Credentials | undefined): string | undefined {
  if (!credentials || !('username' in credentials)) return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
}

function tokenRequest(
  realm: URL,
  challenge: Challenge,
  scope: string,
  credentials?: Credentials,
): [URL, HttpRequest] {
  const { service } = challenge.parameters;
  if (credentials && 'identityToken' in credentials) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'vivarium',
      refresh_token: credentials.identityToken,
      scope,
      ...(service ? { service } : {}),
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return [realm, { method: 'POST', headers, body: form.toString() }];
  }
  const url = new URL(realm);
  if (service) url.searchParams.set('service', service);
  url.searchParams.set('scope', scope);
  const basic = basicHeader(credentials);
  return [url, basic ? { headers: { authorization: basic } } : {}];
}

/**
 * Gets a token from where the registry's challenge points.
 *
 * @param scope Used where the challenge names none: `repository:NAME:pull`.
 * @throws VivError `registry_denied`, `registry_unreachable`.
 */
export async function fetchToken(
  challenge: Challenge,
  scope: string,
  credentials: Credentials | undefined,
  { signal, plainAllowed }: { signal?: AbortSignal; plainAllowed: boolean },
): Promise<string> {
  const realm = URL.parse(challenge.parameters.realm ?? '');
  if (!realm || !/^https?:$/.test(realm.protocol)) {
    throw new VivError('registry_unreachable', 'The registry asks for a token but does not say from where');
  }
  if (realm.protocol === 'http:' && !plainAllowed) {
    throw new VivError(
      'registry_denied',
      `The registry wants credentials sent to ${realm.origin} without TLS`,
    );
  }
  const [url, request] = tokenRequest(realm, challenge, challenge.parameters.scope ?? scope, credentials);
  const response = await send(url, { ...request, signal, plainAllowed });
  const body = await readBody(response, maximumTokenBytes, 'token');
  if (response.status >= 500) {
    throw new VivError('registry_unreachable', `The token server ${realm.host} answered ${response.status}`);
  }
  if (response.status === 429)
    throw new VivError('rate_limited', `The token server ${realm.host} has had too many requests`);
  if (!response.ok) {
    throw new VivError(
      'registry_denied',
      `The token server ${realm.host} refused the credentials (${response.status})`,
      {
        hint: 'Log in with `docker login`.',
      },
    );
  }
  let answer: { token?: unknown; access_token?: unknown };
  try {
    answer = JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw new VivError(
      'registry_unreachable',
      `The token server ${realm.host} answered something else than JSON`,
      { cause },
    );
  }
  const token = answer.token ?? answer.access_token;
  if (typeof token !== 'string' || /[^\x21-\x7e]/.test(token)) {
    throw new VivError('registry_unreachable', `The token server ${realm.host} gave no token`);
  }
  return token;
}
