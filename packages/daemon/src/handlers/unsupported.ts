import { type CreateInstance, unsupportedCreateFields } from '@vivarium/api';
import { VivError } from '@vivarium/model';

/** Whether a field of hypeman asks for anything. */
export const asked = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== false &&
  !(typeof value === 'object' && Object.keys(value).length === 0);

/** @throws VivError `not_supported` naming the first field that nothing here can honour. */
export function refuseUnsupported(body: CreateInstance): void {
  const harmless: Partial<Record<keyof typeof unsupportedCreateFields, (value: never) => boolean>> = {
    health_check: (value: { type?: string }) => (value.type ?? 'none') === 'none',
    restart_policy: (value: { policy?: string }) => (value.policy ?? 'never') === 'never',
    platform: (value: string) => value === `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
    ttl: (value: string) => value === '0s' || value === '',
  };
  for (const field of Object.keys(unsupportedCreateFields) as (keyof typeof unsupportedCreateFields)[]) {
    const value = body[field];
    if (asked(value) && harmless[field]?.(value as never) !== true) throw notYet(field);
  }
  const { egress } = body.network ?? {};
  if ((egress as { enabled?: boolean } | undefined)?.enabled) throw notYet('network.egress');
}

export function notYet(field: string): VivError {
  return new VivError('not_supported', `${field} is not supported yet`, { hint: `Leave ${field} out.` });
}
