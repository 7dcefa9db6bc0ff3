import type {
  HealthCheck,
  HealthStatus,
  RestartPolicy,
  RestartStatus,
  ServiceInfo,
  ServiceOptions,
} from '@vivarium/model';
import type { ServiceAnswer, ServiceFields } from '../schemas/service.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { camelKeys, snakeKeys } from './keys.ts';
import { present } from './present.ts';

const go = (milliseconds: number | undefined) =>
  milliseconds === undefined ? undefined : formatDuration(milliseconds);
const ms = (text: string | undefined) => (text === undefined ? undefined : parseDuration(text));

function restartToWire(policy: RestartPolicy): NonNullable<ServiceFields['restart_policy']> {
  return present({
    policy: policy.policy,
    backoff: go(policy.backoffMs),
    max_attempts: policy.maxAttempts,
    stable_after: go(policy.stableAfterMs),
  });
}

function restartFromWire(wire: NonNullable<ServiceFields['restart_policy']>): RestartPolicy {
  return present<RestartPolicy>({
    policy: (wire.policy ?? 'never') as RestartPolicy['policy'],
    backoffMs: ms(wire.backoff),
    maxAttempts: wire.max_attempts,
    stableAfterMs: ms(wire.stable_after),
  });
}

function healthToWire(check: HealthCheck): NonNullable<ServiceFields['health_check']> {
  const { http, tcp, exec } = check;
  return present({
    type: check.type,
    http:
      http &&
      present({
        port: http.port,
        path: http.path,
        scheme: http.scheme,
        expected_status: http.expectedStatus,
      }),
    tcp,
    exec: exec && present({ command: exec.command, working_dir: exec.workingDir }),
    interval: go(check.intervalMs),
    timeout: go(check.timeoutMs),
    start_period: go(check.startPeriodMs),
    failure_threshold: check.failureThreshold,
    success_threshold: check.successThreshold,
  });
}

function healthFromWire(wire: NonNullable<ServiceFields['health_check']>): HealthCheck {
  const { http, tcp, exec } = wire;
  return present<HealthCheck>({
    type: (wire.type ?? 'none') as HealthCheck['type'],
    http:
      http &&
      present({
        port: http.port,
        path: http.path,
        scheme: http.scheme as 'http' | 'https' | undefined,
        expectedStatus: http.expected_status,
      }),
    tcp,
    exec: exec && present({ command: exec.command, workingDir: exec.working_dir }),
    intervalMs: ms(wire.interval),
    timeoutMs: ms(wire.timeout),
    startPeriodMs: ms(wire.start_period),
    failureThreshold: wire.failure_threshold,
    successThreshold: wire.success_threshold,
  });
}

/** What is asked for, by our own SDK. */
export function serviceToWire(options: ServiceOptions): ServiceFields {
  const { autostart, restartPolicy, healthCheck } = options;
  return present({
    restart_policy: restartPolicy && restartToWire(restartPolicy),
    health_check: healthCheck && healthToWire(healthCheck),
    ttl: go(options.ttlMs),
    expires_at: options.expiresAt,
    autostart: autostart && present({ priority: autostart.priority, delay: go(autostart.delayMs) }),
    logs: logsToWire(options.logs),
  });
}

const logsToWire = (logs: ServiceOptions['logs']) =>
  logs && present({ max_bytes: logs.maxBytes, keep: logs.keep });

/** @throws VivError `invalid_request` for what is no duration. */
export function serviceFromWire(wire: ServiceFields): ServiceOptions {
  const { restart_policy, health_check, autostart, logs, ttl } = wire;
  return present<ServiceOptions>({
    restartPolicy: restart_policy && restartFromWire(restart_policy),
    healthCheck: health_check && healthFromWire(health_check),
    // hypeman's way to say nothing.
    ttlMs: ttl === '' ? undefined : ms(ttl),
    expiresAt: wire.expires_at,
    autostart: autostart && present({ priority: autostart.priority, delayMs: ms(autostart.delay) }),
    logs: logs && present({ maxBytes: logs.max_bytes, keep: logs.keep }),
  });
}

const fields = [
  'restartPolicy',
  'restart',
  'healthCheck',
  'health',
  'autostart',
  'logs',
  'pendingChanges',
] as const;

/** What an instance shows of it; its expiry is a field of hypeman's that is always there. */
export function serviceInfoToWire(info: ServiceInfo): ServiceAnswer {
  const { restart, health, autostart } = info;
  // Most have nothing of it, and a page has many: to look through all fields is not free.
  if (!fields.some((field) => info[field] !== undefined)) return {};
  return present({
    restart_policy: info.restartPolicy && restartToWire(info.restartPolicy),
    restart_status: restart && (snakeKeys(present(restart)) as ServiceAnswer['restart_status']),
    health_check: info.healthCheck && healthToWire(info.healthCheck),
    health_status: health && (snakeKeys(present(health)) as ServiceAnswer['health_status']),
    autostart: autostart && { priority: autostart.priority, delay: formatDuration(autostart.delayMs) },
    logs: logsToWire(info.logs),
    pending_changes: info.pendingChanges,
  });
}

export function serviceInfoFromWire(wire: ServiceAnswer): ServiceInfo {
  const { autostart, logs } = serviceFromWire({ autostart: wire.autostart, logs: wire.logs });
  return present<ServiceInfo>({
    restartPolicy: wire.restart_policy && (restartFromWire(wire.restart_policy) as Required<RestartPolicy>),
    restart: wire.restart_status && (camelKeys(wire.restart_status) as unknown as RestartStatus),
    healthCheck: wire.health_check && healthFromWire(wire.health_check),
    health: wire.health_status && (camelKeys(wire.health_status) as unknown as HealthStatus),
    autostart: autostart as ServiceInfo['autostart'],
    logs,
    pendingChanges: wire.pending_changes as ServiceInfo['pendingChanges'],
  });
}
