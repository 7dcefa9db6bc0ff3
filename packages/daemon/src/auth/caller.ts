import { allows, type Scope } from '@vivarium/api';
import { VivError } from '@vivarium/model';

/** Who makes a request, and what they may do. */
export interface Caller {
  /** Of the token; absent on the unix socket and with the daemon's own token. */
  readonly tokenId?: string;
  readonly grants: readonly string[];
  /** Milliseconds since 1970 until which the token is good. */
  readonly expiresAt?: number;
}

/** Whoever can open the unix socket could as well read the disks. */
export const owner: Caller = { grants: ['*'] };

/** Whom a public route does not ask. */
export const nobody: Caller = { grants: [] };

/** @throws VivError `forbidden` naming the scope. */
export function requireScope({ grants }: Caller, scope: Scope): void {
  if (allows(grants, scope)) return;
  throw new VivError('forbidden', `The token has not the scope ${scope}`, {
    hint: `Make one that has: viv token create --scope ${scope}.`,
    details: { scope },
  });
}
