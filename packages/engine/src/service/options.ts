import {
  type Autostart,
  type CreateOptions,
  type LogLimits,
  type RestartPolicy,
  type ServiceOptions,
  VivError,
} from '@vivarium/model';
import { longestTimerMs } from '../instances/times.ts';
import type { InstanceSpec } from '../store/record.ts';
import { checkHealth, resolveHealth } from './health/options.ts';

export const restartDefaults = { backoffMs: 5000, maxAttempts: 0, stableAfterMs: 600_000 } as const;
export const logDefaults = { maxBytes: 10 * 1024 ** 2, keep: 1 } as const;

/** What Date can hold, and a little less. */
const latest = Date.UTC(9999, 0);

/** @throws VivError `invalid_request` for what does not go together or is no value of its field. */
export function checkService(options: ServiceOptions & Pick<CreateOptions, 'autoRemove'>): void {
  const { restartPolicy, healthCheck, autostart, logs, autoRemove } = options;
  if (restartPolicy !== undefined) checkRestart(restartPolicy);
  if (healthCheck !== undefined) checkHealth(healthCheck);
  if (autostart !== undefined) checkAutostart(autostart);
  if (logs !== undefined) checkLogs(logs);
  if (autoRemove) refuseWithAutoRemove({ restartPolicy, autostart });
}

/** What is deleted at its end can't be started again after it. */
export function refuseWithAutoRemove({ restartPolicy, autostart }: ServiceOptions): void {
  const what =
    restartPolicy !== undefined && restartPolicy.policy !== 'never'
      ? 'a restart policy'
      : autostart !== undefined
        ? 'an autostart'
        : undefined;
  if (what === undefined) return;
  throw new VivError(
    'invalid_request',
    `An instance that is deleted once it has stopped can't have ${what}`,
    {
      hint: 'Leave out one of the two (`--rm` and `--restart` or `--autostart`).',
    },
  );
}

function checkRestart({ policy, backoffMs, maxAttempts, stableAfterMs }: RestartPolicy): void {
  if (!['never', 'always', 'on_failure'].includes(policy)) {
    throw new VivError('invalid_request', `Not a restart policy: ${JSON.stringify(policy)}`, {
      hint: 'One of never, always, on_failure.',
    });
  }
  within('restart backoff in ms', backoffMs, 0, longestTimerMs);
  within('number of restarts', maxAttempts, 0, 1_000_000);
  within('time to be stable in ms', stableAfterMs, 0, longestTimerMs);
}

function checkAutostart({ priority, delayMs }: Autostart): void {
  within('priority', priority, -1_000_000, 1_000_000);
  within('delay in ms', delayMs, 0, 3_600_000);
}

function checkLogs({ maxBytes, keep }: LogLimits): void {
  within('size of a log', maxBytes, 4096, Number.MAX_SAFE_INTEGER);
  within('number of log files', keep, 0, 100);
}

/** Undefined is the default. */
export function within(what: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return;
  throw new VivError('invalid_request', `Not a ${what}: ${value}`, { hint: `${least} to ${most}.` });
}

/** As it is kept, with every default filled in. Absent is what asks for nothing. */
export function resolveService(
  options: Omit<ServiceOptions, 'ttlMs' | 'expiresAt'>,
): Pick<InstanceSpec, 'restartPolicy' | 'healthCheck' | 'autostart' | 'logs'> {
  const { restartPolicy, healthCheck, autostart, logs } = options;
  return {
    ...(restartPolicy === undefined || restartPolicy.policy === 'never'
      ? {}
      : { restartPolicy: resolveRestart(restartPolicy) }),
    ...(healthCheck === undefined || healthCheck.type === 'none'
      ? {}
      : { healthCheck: resolveHealth(healthCheck) }),
    ...(autostart === undefined ? {} : { autostart: { priority: 0, delayMs: 0, ...defined(autostart) } }),
    ...(logs === undefined ? {} : { logs: { ...logDefaults, ...defined(logs) } }),
  };
}

function resolveRestart(policy: RestartPolicy): Required<RestartPolicy> {
  return { ...restartDefaults, ...defined(policy) };
}

/** Without the fields that are there and say nothing: they would hide the defaults. */
export function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/**
 * When an instance is to be deleted, in RFC 3339; undefined: never.
 *
 * @throws VivError `invalid_request` where both are given, and where the time is none or has passed.
 */
export function expiryOf(
  { ttlMs, expiresAt }: Pick<ServiceOptions, 'ttlMs' | 'expiresAt'>,
  now: number,
): string | undefined {
  if (ttlMs !== undefined && expiresAt !== undefined) {
    throw new VivError('invalid_request', 'Only one of a time to live and a time to end can be given');
  }
  if (ttlMs !== undefined) {
    if (!(ttlMs >= 0) || now + ttlMs >= latest)
      throw new VivError('invalid_request', `Not a time to live: ${ttlMs} ms`);
    return ttlMs === 0 ? undefined : new Date(now + ttlMs).toISOString();
  }
  if (expiresAt === undefined) return undefined;
  const at = Date.parse(expiresAt);
  if (!(at < latest)) throw new VivError('invalid_request', `Not a time: ${JSON.stringify(expiresAt)}`);
  if (at <= now) {
    throw new VivError('invalid_request', `${expiresAt} is not in the future`, {
      hint: 'To have it deleted now, delete it.',
    });
  }
  return new Date(at).toISOString();
}
