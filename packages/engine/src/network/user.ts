import { createHash } from 'node:crypto';
import { VivError } from '@vivarium/model';
import type { NicSpec } from '../drivers/driver.ts';
import { hostAddresses } from './host-addresses.ts';
import { numberToAddress, overlap, parseSubnet, type Subnet, subnetSize } from './ipv4.ts';
import type { NetworkBackend } from './network.ts';

/** Sixteen addresses are enough for a gateway, a name server and the guest. */
const prefix = 28;

/** Where subnets are taken from, in this order: a host behind a VPN that routes all of 10/8 still has the others. */
const pools = ['10.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map(parseSubnet);

/**
 * User-mode networking inside the VMM: needs no privileges and nothing of the host. The guest reaches what the host
 * reaches; it is reached through published ports only.
 */
export class UserNetwork implements NetworkBackend {
  readonly kind = 'user';
  readonly #avoid: () => Subnet[];

  /** `avoid`: networks that guests must still be able to reach. Default: the host's routes and name servers. */
  constructor(avoid: () => Subnet[] = hostAddresses) {
    this.#avoid = avoid;
  }

  allocate(instanceId: string, inUse: readonly NicSpec[]): NicSpec {
    const taken = new Set(inUse.map((nic) => nic.backend.subnet));
    const macs = new Set(inUse.map((nic) => nic.mac));
    const first = findSubnet(instanceId, taken, this.#avoid());
    let salt = 0;
    while (macs.has(macAddress(instanceId, salt))) salt += 1;
    return {
      mac: macAddress(instanceId, salt),
      backend: {
        kind: 'user',
        subnet: `${numberToAddress(first)}/${prefix}`,
        gateway: numberToAddress(first + 1),
        ip: numberToAddress(first + 2),
        dns: numberToAddress(first + 3),
      },
    };
  }

  /** Nothing of it outlives the VMM. */
  release(_nic: NicSpec): void {}
}

/** Locally administered, unicast, and the same for the same id and salt. */
export function macAddress(instanceId: string, salt = 0): string {
  const digest = createHash('sha256').update(`mac ${instanceId} ${salt}`).digest();
  return ['02', ...[...digest.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

/** Begins at a place of the instance's own, so that it tends to get the same subnet again. */
function findSubnet(instanceId: string, taken: ReadonlySet<string>, avoid: readonly Subnet[]): number {
  const start = createHash('sha256').update(`subnet ${instanceId}`).digest().readUInt32BE();
  for (const pool of pools) {
    const count = subnetSize(pool.prefix) / subnetSize(prefix);
    const relevant = avoid.filter((network) => overlap(network, pool));
    if (relevant.some((network) => network.first <= pool.first && network.prefix <= pool.prefix)) continue;
    for (let step = 0; step < count; step += 1) {
      const first = pool.first + ((start + step) % count) * subnetSize(prefix);
      if (taken.has(`${numberToAddress(first)}/${prefix}`)) continue;
      if (!relevant.some((network) => overlap(network, { first, prefix }))) return first;
    }
  }
  throw new VivError('insufficient_resources', 'No private IPv4 subnet is left for another instance', {
    hint: 'Delete instances, or create this one with `--network none`.',
  });
}
