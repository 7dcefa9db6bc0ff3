import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { VivError } from '@vivarium/model';
import { hostOf, isLoopback, plainAddress } from './addresses.ts';

export interface OriginRules {
  /** Origins of web pages that may call, as browsers write them: `https://ui.example`. */
  readonly origins: readonly string[];
  /** Names beside loopback's and the listener's own under which the daemon is asked for. */
  readonly hosts: readonly string[];
  /** The unix socket: no name leads a browser there, but a forwarder may, so foreign names are refused too. */
  readonly local: boolean;
}

/**
 * Keeps web pages out: one of another origin (its browser says so), and one whose name was made to mean this machine
 * (DNS rebinding: its browser asks for that name).
 *
 * @throws VivError `forbidden`, `invalid_request`
 */
export function checkOrigin(incoming: IncomingMessage, rules: OriginRules): void {
  const { origin, host = '' } = incoming.headers;
  const site = incoming.headers['sec-fetch-site'];
  // Which one counts is everybody's own choice.
  if ((incoming.headersDistinct.host?.length ?? 0) > 1)
    throw new VivError('invalid_request', 'The request has more than one host');
  if (!isOurs(host, incoming, rules))
    throw new VivError('forbidden', `The daemon is not called ${JSON.stringify(host.slice(0, 100))}`, {
      hint: 'Ask for it by its address, or start vivd with --allow-host NAME.',
    });
  if (origin === undefined ? site !== 'cross-site' && site !== 'same-site' : allowedOrigin(incoming, rules))
    return;
  // A link may lead to what anybody may read.
  if (origin === undefined && incoming.headers['sec-fetch-mode'] === 'navigate') return;
  throw new VivError(
    'forbidden',
    `Web pages of ${JSON.stringify(origin ?? 'other sites').slice(0, 100)} may not call`,
    {
      hint: 'Start vivd with --allow-origin for pages that may.',
    },
  );
}

/** The origin of the page that asks, where it is one that may. */
export function allowedOrigin({ headers }: IncomingMessage, { origins }: OriginRules): string | undefined {
  return headers.origin !== undefined && origins.includes(headers.origin) ? headers.origin : undefined;
}

function isOurs(authority: string, { socket }: IncomingMessage, { hosts, local }: OriginRules): boolean {
  const host = hostOf(authority);
  if (host === undefined) return false;
  if (isLoopback(host) || hosts.includes(host)) return true;
  // Nobody can register a name without a dot.
  if (local) return isIP(host) === 0 && !host.includes('.');
  // A number can't be made to mean another machine than it does.
  return isIP(host) !== 0 && host === plainAddress(socket.localAddress);
}
