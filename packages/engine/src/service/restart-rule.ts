import type { ExitInfo, RestartStatus } from '@vivarium/model';
import type { InstanceRecord } from '../store/record.ts';
import { growingPause } from './clock.ts';
import { restartDefaults } from './options.ts';

/** How far a policy has come, as it is kept. */
export interface RestartState extends RestartStatus {
  /** Its health check has failed: the stop under way is no stop by somebody. */
  failing?: true;
  /** So many times in a row there was no room for it. */
  refusals?: number;
}

/** Changes of a record, and what is to be told of them. */
export interface Verdict {
  restart: RestartState | undefined;
  event?: { type: string; data: Record<string, unknown> };
}

const none: RestartState = { attempts: 0 };

/** A copy that goes on from memory was started by nobody. */
export function upAt({ upAt: at, startedAt }: InstanceRecord): string | undefined {
  return at ?? startedAt;
}

/** Whether an end is one that `on_failure` is there for. What nobody can explain is a failure. */
export function isFailure({ reason, code }: ExitInfo): boolean {
  if (reason === 'panicked' || reason === 'vmm_exited') return true;
  return (reason === 'exited' || reason === 'guest_off') && code !== 0;
}

/** A VM has ended: what its policy makes of it, in the same write as the end. Times in milliseconds since 1970. */
export function afterExit(record: InstanceRecord, exit: ExitInfo, now: number): Verdict {
  const { restart = none, spec } = record;
  const { failing, ...state } = restart;
  const { restartPolicy } = spec;
  const kept: Verdict = { restart: record.restart && state };
  if (restartPolicy === undefined || state.blockedReason !== undefined) return kept;
  const byUs = exit.reason === 'stopped' || exit.reason === 'killed';
  const due = failing ?? (!byUs && (restartPolicy.policy === 'always' || isFailure(exit)));
  if (!due) return kept;
  const ran = now - Date.parse(upAt(record) ?? exit.at);
  const attempts = ran >= restartPolicy.stableAfterMs ? 0 : state.attempts;
  return next(record, { ...state, attempts, lastReason: failing ? 'health_check_failed' : undefined }, now);
}

/** The longest that one for which there is no room waits, where its own backoff is not longer. Milliseconds. */
const longestWaitMs = 60_000;

/** Milliseconds before the next attempt. One that has only an autostart is tried again as if by default. */
export function pauseBefore({ spec, restart }: Pick<InstanceRecord, 'spec' | 'restart'>): number {
  const { backoffMs } = spec.restartPolicy ?? restartDefaults;
  const { refusals = 0 } = restart ?? none;
  return refusals === 0 ? backoffMs : Math.max(backoffMs, growingPause(refusals, longestWaitMs));
}

/** There was no room for it: that was no attempt. It waits for some, longer each time. */
export function afterRefusal({ restart, spec }: InstanceRecord, message: string, now: number): Verdict {
  if (restart?.nextAttemptAt === undefined) return { restart };
  const waiting = { ...restart, refusals: (restart.refusals ?? 0) + 1, lastError: message };
  const nextAttemptAt = new Date(now + pauseBefore({ spec, restart: waiting })).toISOString();
  return {
    restart: { ...waiting, nextAttemptAt },
    event: {
      type: 'restart_waiting',
      data: { at: nextAttemptAt, attempts: restart.attempts, reason: 'insufficient_resources', message },
    },
  };
}

/** An attempt has not started it. */
export function afterFailure(record: InstanceRecord, message: string, now: number): Verdict {
  const { restart } = record;
  // Somebody has stopped it meanwhile, or changed its policy.
  if (restart?.nextAttemptAt === undefined) return { restart };
  return next(record, { ...restart, lastError: message }, now);
}

function next({ spec }: InstanceRecord, state: RestartState, now: number): Verdict {
  const { maxAttempts } = spec.restartPolicy ?? restartDefaults;
  const { attempts } = state;
  if (maxAttempts > 0 && attempts >= maxAttempts) return exhausted(state);
  const nextAttemptAt = new Date(now + pauseBefore({ spec, restart: state })).toISOString();
  return {
    restart: { ...state, nextAttemptAt },
    event: { type: 'restart_scheduled', data: { at: nextAttemptAt, attempts, reason: state.lastReason } },
  };
}

/** No more attempts, until somebody starts it. */
export function exhausted({ failing: _, ...state }: RestartState): Verdict {
  const blockedReason = 'max_attempts_exceeded';
  return {
    restart: { ...state, blockedReason, nextAttemptAt: undefined },
    event: { type: 'restart_blocked', data: { reason: blockedReason, attempts: state.attempts } },
  };
}

/** Whether a check that fails may still end the VM so that it is restarted. */
export function hasAttempts(record: InstanceRecord, now: number): boolean {
  const { spec, restart } = record;
  const { maxAttempts = 0, stableAfterMs = 0 } = spec.restartPolicy ?? {};
  const stable = now - Date.parse(upAt(record) ?? '') >= stableAfterMs;
  return maxAttempts === 0 || stable || (restart?.attempts ?? 0) < maxAttempts;
}

/** Somebody wants it stopped. Undefined where that is nothing new to its policy. */
export function stoppedBySomebody({ spec, restart }: InstanceRecord): RestartState | undefined {
  const concerned = spec.restartPolicy !== undefined || spec.autostart !== undefined;
  if (!concerned && restart?.nextAttemptAt === undefined) return undefined;
  if (restart?.blockedReason === 'manual_stop') return undefined;
  return {
    attempts: restart?.attempts ?? 0,
    lastAttemptAt: restart?.lastAttemptAt,
    blockedReason: 'manual_stop',
  };
}

/** An attempt begins: there is room for it. It stays due until it has succeeded: whoever finds it half done tries it again. */
export function attemptBegun(restart: RestartState | undefined, now: number): RestartState {
  const { attempts, refusals: _, ...rest } = restart ?? none;
  return { ...rest, attempts: attempts + 1, lastAttemptAt: new Date(now).toISOString() };
}

/** The VM is up. What somebody has started begins anew. */
export function afterStart(restart: RestartState | undefined, byPolicy: boolean): RestartState | undefined {
  if (!byPolicy || restart === undefined) return undefined;
  return { ...restart, nextAttemptAt: undefined, lastError: undefined };
}
