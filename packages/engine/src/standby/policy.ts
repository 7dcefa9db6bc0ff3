import { BlockList, isIP } from 'node:net';
import { type AutoStandbyPolicy, VivError, type WakePolicy } from '@vivarium/model';
import type { PortTraffic } from '../drivers/driver.ts';
import type { Instance } from '../instances/instance.ts';
import { longestTimerMs } from '../instances/times.ts';

/** Milliseconds. Less would suspend a VM between two calls of one client. */
const shortestIdleMs = 1000;

const policies: readonly WakePolicy[] = ['standby', 'always', 'never'];

/** @throws VivError `invalid_request`. */
export function checkPolicy(policy: AutoStandbyPolicy): void {
  const { idleTimeoutMs, ignoreDestinationPorts = [], ignoreSourceCidrs = [], cpuBelow } = policy;
  const demand = (holds: boolean, what: string, hint: string) => {
    if (!holds) throw new VivError('invalid_request', `auto_standby: not ${what}`, { hint });
  };
  if (idleTimeoutMs !== undefined)
    demand(
      idleTimeoutMs >= shortestIdleMs && idleTimeoutMs <= longestTimerMs,
      `an idle timeout: ${idleTimeoutMs} ms`,
      'From one second to 24 days.',
    );
  for (const port of ignoreDestinationPorts)
    demand(Number.isInteger(port) && port >= 1 && port <= 65_535, `a port: ${port}`, '1 to 65535.');
  for (const cidr of ignoreSourceCidrs)
    demand(cidrParts(cidr) !== undefined, `a network: ${cidr}`, 'As in 10.0.0.0/8 or fd00::/8.');
  if (cpuBelow !== undefined)
    demand(cpuBelow > 0 && cpuBelow <= 255, `a part of a CPU: ${cpuBelow}`, '0.05 is a twentieth.');
}

/** @throws VivError `invalid_request`. */
export function checkWake(wake: WakePolicy): void {
  if (policies.includes(wake)) return;
  throw new VivError('invalid_request', `Not a wake policy: ${JSON.stringify(wake)}`, {
    hint: `One of ${policies.join(', ')}.`,
  });
}

/** Who suspended it; a person where nothing is said. */
type SuspendedBy = 'idle' | 'reclaim' | undefined;

/** Whether use wakes an instance that was suspended so. */
export function wakes(wake: WakePolicy | undefined, by: SuspendedBy): boolean {
  return wake === 'always' || (wake !== 'never' && by !== undefined);
}

/** Whether use would wake it as it is. One that was paused would not answer anyway. */
export function mayWake({ record: { spec, suspended } }: Instance): boolean {
  return suspended !== undefined && suspended.was === 'running' && wakes(spec.wake, suspended.by);
}

function cidrParts(cidr: string): [address: string, prefix: number, family: 'ipv4' | 'ipv6'] | undefined {
  const [address = '', bits = '', more] = cidr.split('/');
  const version = isIP(address);
  const prefix = /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (version === 0 || more !== undefined || !(prefix <= (version === 4 ? 32 : 128))) return undefined;
  return [address, prefix, version === 4 ? 'ipv4' : 'ipv6'];
}

/** Without what the policy ignores; without a policy all of it. */
export function qualifying(traffic: readonly PortTraffic[], policy?: AutoStandbyPolicy): PortTraffic[] {
  const ignored = new BlockList();
  for (const cidr of policy?.ignoreSourceCidrs ?? []) {
    const parts = cidrParts(cidr);
    if (parts !== undefined) ignored.addSubnet(...parts);
  }
  return traffic.filter(
    ({ guestPort, peer }) =>
      !policy?.ignoreDestinationPorts?.includes(guestPort) &&
      !ignored.check(peer, isIP(peer) === 6 ? 'ipv6' : 'ipv4'),
  );
}
