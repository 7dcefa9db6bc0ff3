import { readFileSync } from 'node:fs';
import { VivError } from '@vivarium/model';
import type { Address } from './transport.ts';

/**
 * Where a daemon is, and what it is asked with. Tokens come from the options, the environment or a file: an argument of a
 * command could be read by everybody on the machine.
 *
 * @throws VivError `invalid_request`
 */
export function daemonAddress(
  url: string,
  { token, ca }: { token?: string; ca?: string },
  env: NodeJS.ProcessEnv,
): Address {
  const parsed = URL.parse(url);
  const known = parsed?.protocol === 'http:' || parsed?.protocol === 'https:';
  if (parsed === null || !known || parsed.pathname !== '/' || parsed.search !== '')
    throw new VivError('invalid_request', `${withoutSecrets(url)} is not https://HOST:PORT`, {
      hint: 'On this machine http://127.0.0.1:PORT does as well.',
    });
  if (parsed.username !== '' || parsed.password !== '')
    throw new VivError('invalid_request', 'The address of a daemon has no user and no password', {
      hint: 'It wants a token: see `viv token create`.',
    });
  const brought = token ?? (env.VIV_TOKEN || (env.VIV_TOKEN_FILE && read(env.VIV_TOKEN_FILE)));
  if (brought && parsed.protocol === 'http:' && !isLoopback(parsed.hostname))
    throw new VivError('invalid_request', `The token would go to ${parsed.host} unencrypted`, {
      hint: 'Use https:, or a tunnel that ends on the loopback of this machine.',
    });
  const trusted = ca ?? (env.VIV_CA && read(env.VIV_CA));
  return { url: parsed, ...(brought ? { token: brought } : {}), ...(trusted ? { ca: trusted } : {}) };
}

/** A URL keeps what was meant as host in a form of its own: an address of IPv4 in four parts, one of IPv6 in brackets. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//…@');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new VivError('invalid_request', `${file} can’t be read: ${(cause as Error).message}`, { cause });
  }
}
