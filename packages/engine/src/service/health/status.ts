import type { HealthStatus } from '@vivarium/model';
import type { ResolvedHealthCheck } from './options.ts';

/** What one check has found. */
export interface Outcome {
  ok: boolean;
  /** What it printed or was answered. */
  output?: string;
  error?: string;
}

export const unknown: HealthStatus = Object.freeze({
  status: 'unknown',
  consecutiveFailures: 0,
  consecutiveSuccesses: 0,
});
export const starting: HealthStatus = Object.freeze({ ...unknown, status: 'starting' });

/** Bytes of output that are shown. */
export const outputBytes = 4096;

/** The health after one more check. Times in milliseconds since 1970; a failure before `countsFrom` is told and not counted. */
export function afterCheck(
  before: HealthStatus,
  outcome: Outcome,
  check: Pick<ResolvedHealthCheck, 'failureThreshold' | 'successThreshold'>,
  { now, countsFrom }: { now: number; countsFrom: number },
): HealthStatus {
  const at = new Date(now).toISOString();
  const { lastOutput: _, ...kept } = before;
  const told = {
    ...kept,
    lastCheckedAt: at,
    ...(outcome.output ? { lastOutput: outcome.output.slice(0, outputBytes) } : {}),
  };
  if (outcome.ok) {
    const consecutiveSuccesses = before.consecutiveSuccesses + 1;
    const healthy = consecutiveSuccesses >= check.successThreshold;
    return {
      ...told,
      status: healthy ? 'healthy' : before.status,
      consecutiveFailures: 0,
      consecutiveSuccesses,
      lastSuccessAt: at,
    };
  }
  const graced = before.status === 'starting' && now < countsFrom;
  const consecutiveFailures = graced ? 0 : before.consecutiveFailures + 1;
  return {
    ...told,
    status: consecutiveFailures >= check.failureThreshold ? 'unhealthy' : before.status,
    consecutiveFailures,
    consecutiveSuccesses: 0,
    lastFailureAt: at,
    lastError: (outcome.error ?? 'it failed').slice(0, 1024),
  };
}
