import { type CreateInstance, hostPlatform, unsupportedCreateFields } from '@vivarium/api';
import { VivError } from '@vivarium/model';

/** Whether a field of hypeman asks for anything. */
export const asked = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== false &&
  !(typeof value === 'object' && Object.keys(value).length === 0);

/** @throws VivError `not_supported` naming the first field that nothing here can honour. */
export function refuseUnsupported(body: CreateInstance, driver: string): void {
  const harmless: Partial<Record<keyof typeof unsupportedCreateFields, (value: never) => boolean>> = {
    platform: (value: string) => value === hostPlatform,
    hypervisor: (value: string) => isOwnHypervisor(value, driver),
    snapshot_policy: (value: { compression?: { enabled?: boolean } }) => value.compression?.enabled !== true,
  };
  for (const field of Object.keys(unsupportedCreateFields) as (keyof typeof unsupportedCreateFields)[]) {
    const value = body[field];
    if (asked(value) && harmless[field]?.(value as never) !== true) throw notYet(field);
  }
  const { egress } = body.network ?? {};
  if ((egress as { enabled?: boolean } | undefined)?.enabled) throw notYet('network.egress');
}

/** hypeman's clients know no word for a driver of ours other than QEMU. */
const isOwnHypervisor = (word: string, driver: string): boolean => word === driver || word === 'qemu';

export function refuseOtherHypervisor(word: string | undefined, driver: string): void {
  if (asked(word) && !isOwnHypervisor(word ?? '', driver)) throw notYet('target_hypervisor');
}

/** Saved memory is mapped where it lies; compressed it could not be. `enabled: false` asks for nothing. */
export function refuseCompression({
  compression,
  compression_delay,
}: {
  compression?: unknown;
  compression_delay?: unknown;
}): void {
  if (asked(compression) && (compression as { enabled?: boolean }).enabled !== false)
    throw notYet('compression');
  if (asked(compression_delay) && compression === undefined) throw notYet('compression_delay');
}

export function notYet(field: string): VivError {
  return new VivError('not_supported', `${field} is not supported yet`, { hint: `Leave ${field} out.` });
}

/** For a whole route. `what` begins the sentence. */
export function notThere(what: string): VivError {
  return new VivError('not_supported', `${what}: not there yet`, { hint: 'See /capabilities for what is.' });
}
