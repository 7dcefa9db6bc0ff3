import { X509Certificate } from 'node:crypto';
import { VivError } from '@vivarium/model';
import { isLoopback } from './addresses.ts';

/** A TCP listener. */
export interface TcpOptions {
  readonly host: string;
  readonly port: number;
  /** A token that may do everything, beside those that were made. */
  readonly token?: string;
  /** PEM. Needed wherever others than this machine can reach the address. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** @throws VivError `invalid_request` for an address that the network can reach, without TLS. */
export function requireSafe({ host, tls }: TcpOptions): void {
  if (tls !== undefined || isLoopback(host)) return;
  throw new VivError('invalid_request', `${host} is not an address of the loopback: it needs TLS`, {
    hint: 'Give --tls-cert and --tls-key, or listen on 127.0.0.1.',
  });
}

/** The names that the listener goes by: where it listens, and what its certificate is for. */
export function namesOf({ host, tls }: TcpOptions): string[] {
  const names = [host.toLowerCase()];
  if (tls === undefined) return names;
  for (const [, name = ''] of (certificate(tls.cert).subjectAltName ?? '').matchAll(
    /(?:DNS|IP Address):([^,\s]+)/g,
  ))
    names.push(name.toLowerCase());
  return names;
}

function certificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new VivError('invalid_request', 'The TLS certificate can’t be read: it is not PEM', { cause });
  }
}
