import { type AutoStandbyPolicy, type StandbyUse, VivError } from '@vivarium/model';
import { isPortHolder, type PortTraffic } from '../drivers/driver.ts';
import type { Instance } from '../instances/instance.ts';
import { purposeOf } from '../instances/session-ids.ts';
import { qualifying } from './policy.ts';

/** Milliseconds the agent has to list its sessions. */
const answerMs = 5000;

/** What was found by asking shim and guest. */
export interface Sight {
  uses: StandbyUse[];
  /** Milliseconds since the last connection that counts; undefined where there was none. */
  quietMs: number | undefined;
}

/** What nobody tells of by himself: connections to published ports, and commands that go on with nobody attached. */
export async function look(instance: Instance, policy?: AutoStandbyPolicy): Promise<Sight> {
  const traffic = qualifying(await trafficOf(instance), policy);
  const connections = sumOpen(traffic);
  const sessions = await runningSessions(instance);
  const uses: StandbyUse[] = [];
  if (connections > 0) uses.push({ kind: 'connection', count: connections });
  if (sessions > 0) uses.push({ kind: 'session', count: sessions });
  const quiet = traffic.map(({ quietMs }) => quietMs);
  return { uses, quietMs: quiet.length === 0 ? undefined : Math.min(...quiet) };
}

const sumOpen = (traffic: readonly PortTraffic[]): number =>
  traffic.reduce((count, { open }) => count + open, 0);

/** Open connections that count as a use by the instance's own policy. */
export const openIn = (traffic: readonly PortTraffic[], { record }: Instance): number =>
  sumOpen(qualifying(traffic, record.spec.autoStandby));

/** Of one that is about to be suspended, with nobody new getting in any more. @throws VivError `conflict`. */
export function expectUnused(instance: Instance, open: readonly PortTraffic[]): void {
  if (openIn(open, instance) > 0 || !instance.uses.none) throw usedAgain(instance);
}

export const usedAgain = ({ record }: Instance): VivError =>
  new VivError('conflict', `${record.name} is in use again`);

export async function trafficOf({ machine, record }: Instance): Promise<PortTraffic[]> {
  return machine !== undefined && record.ports.length > 0 && isPortHolder(machine) ? machine.traffic() : [];
}

/** Commands somebody has started, attached to or not. What the VM is for, and whether it is well, is no use of it. */
async function runningSessions({ guest, record }: Instance): Promise<number> {
  if (guest === undefined)
    throw new VivError('agent_unreachable', `The agent of ${record.name} does not answer`);
  const sessions = await guest.sessions(AbortSignal.timeout(answerMs));
  return sessions.filter(({ running, execId }) => running && purposeOf(execId) === undefined).length;
}
