import { isVivError, VivError } from '@vivarium/model';

/**
 * True for what ends an attempt and not the image: cancelled, out of reach, not let in. What has come by then serves the
 * next attempt; after any other failure it is damaged or in the way.
 */
export function mayStillCome(failure: unknown): boolean {
  return isVivError(
    VivError.from(failure),
    'cancelled',
    'timeout',
    'registry_unreachable',
    'registry_denied',
    'rate_limited',
  );
}
