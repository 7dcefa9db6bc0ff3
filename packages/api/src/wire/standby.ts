import type { AutoStandbyPolicy, StandbyStatus } from '@vivarium/model';
import type { AutoStandby, AutoStandbyStatus } from '../schemas/standby.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { present } from './present.ts';

export function policyToWire(policy: AutoStandbyPolicy): AutoStandby {
  return present<AutoStandby>({
    enabled: policy.enabled,
    idle_timeout: policy.idleTimeoutMs === undefined ? undefined : formatDuration(policy.idleTimeoutMs),
    ignore_destination_ports: policy.ignoreDestinationPorts,
    ignore_source_cidrs: policy.ignoreSourceCidrs,
    cpu_below: policy.cpuBelow,
  });
}

/** @throws VivError `invalid_request` for a duration that is none. */
export function policyFromWire(wire: AutoStandby): AutoStandbyPolicy {
  return present<AutoStandbyPolicy>({
    enabled: wire.enabled === true,
    idleTimeoutMs: wire.idle_timeout === undefined ? undefined : parseDuration(wire.idle_timeout),
    ignoreDestinationPorts: wire.ignore_destination_ports,
    ignoreSourceCidrs: wire.ignore_source_cidrs,
    cpuBelow: wire.cpu_below,
  });
}

export function standbyToWire(status: StandbyStatus, now = Date.now()): AutoStandbyStatus {
  const { nextStandbyAt, idleTimeoutMs } = status;
  const left = nextStandbyAt === undefined ? undefined : Math.max(0, Date.parse(nextStandbyAt) - now);
  return {
    supported: status.supported,
    configured: status.configured,
    enabled: status.enabled,
    eligible: status.eligible,
    status: status.status,
    reason: status.reason,
    active_inbound_connections: status.connections,
    tracking_mode: 'shim',
    idle_timeout: idleTimeoutMs === undefined ? null : formatDuration(idleTimeoutMs),
    idle_since: status.idleSince ?? null,
    next_standby_at: nextStandbyAt ?? null,
    countdown_remaining: left === undefined ? null : formatDuration(left),
    hold_until: status.holdUntil ?? null,
    last_inbound_activity_at: status.lastActivityAt ?? null,
    uses: status.uses,
    wake: status.wake,
    ...(status.error === undefined ? {} : { error: status.error }),
  };
}

export function standbyFromWire(wire: AutoStandbyStatus): StandbyStatus {
  return present<StandbyStatus>({
    supported: wire.supported,
    configured: wire.configured,
    enabled: wire.enabled,
    eligible: wire.eligible,
    status: wire.status as StandbyStatus['status'],
    reason: wire.reason as StandbyStatus['reason'],
    connections: wire.active_inbound_connections,
    uses: wire.uses as StandbyStatus['uses'],
    idleTimeoutMs: wire.idle_timeout === null ? undefined : parseDuration(wire.idle_timeout),
    idleSince: wire.idle_since ?? undefined,
    nextStandbyAt: wire.next_standby_at ?? undefined,
    holdUntil: wire.hold_until ?? undefined,
    lastActivityAt: wire.last_inbound_activity_at ?? undefined,
    wake: wire.wake as StandbyStatus['wake'],
    error: wire.error,
  });
}
