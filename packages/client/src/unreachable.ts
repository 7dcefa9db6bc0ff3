import { VivError } from '@vivarium/model';
import type { Address } from './transport.ts';

const gone = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'ENOTDIR',
  'EACCES',
  'EPERM',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'ECONNABORTED',
]);

/** Whether an error means that nobody answers, or no longer. */
export function isGone(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return gone.has(code ?? '') || message === 'aborted' || message === 'socket hang up';
}

/** Whether somebody answers whose certificate can't be believed, or who speaks no TLS. */
export function isUntrusted(error: unknown): boolean {
  return /CERT|SIGNATURE|^EPROTO$|^ERR_SSL|^ERR_TLS/.test((error as NodeJS.ErrnoException).code ?? '');
}

export function unreachable(address: Address, cause: unknown): VivError {
  const where = 'socket' in address ? address.socket : address.url.origin;
  const { code = '', message } = cause as NodeJS.ErrnoException;
  const denied = code === 'EACCES' || code === 'EPERM';
  return new VivError('daemon_unreachable', `vivd does not answer on ${where}: ${message}`, {
    hint: denied
      ? 'The socket belongs to another user.'
      : isUntrusted(cause)
        ? 'Its certificate is not trusted here: VIV_CA names a file with the one to trust.'
        : 'Start it with `vivd`, or let the client start it (autostart).',
    cause,
  });
}
