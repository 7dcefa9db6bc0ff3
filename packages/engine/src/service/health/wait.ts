import { type HealthStatus, VivError } from '@vivarium/model';
import type { Instance } from '../../instances/instance.ts';
import { longestTimerMs } from '../../instances/times.ts';

/** Milliseconds. */
const defaultTimeout = 60_000;

/**
 * Resolves once the health check of an instance says so.
 *
 * @throws VivError `invalid_state` where it has none, has ended and is not started again by its policy, `timeout`, `cancelled`,
 * `not_found` when it is deleted.
 */
export function waitForHealth(
  instance: Instance,
  status: HealthStatus['status'],
  { timeoutMs = defaultTimeout, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { name } = instance.record;
  const fail = (
    code: 'invalid_state' | 'timeout' | 'not_found' | 'cancelled',
    message: string,
    hint?: string,
  ) => reject(new VivError(code, message, { hint }));
  let ran = instance.machine !== undefined;
  const look = () => {
    const { state, record } = instance;
    ran ||= instance.machine !== undefined;
    if (instance.gone)
      return fail('not_found', `${name} was deleted while it was waited for to be ${status}`);
    if (record.spec.healthCheck === undefined)
      return fail(
        'invalid_state',
        `${name} has no health check`,
        'Give it one with `viv update --health-cmd`.',
      );
    if (instance.health?.status === status) return resolve();
    const resting = state === 'Stopped' && ran && record.restart?.nextAttemptAt === undefined;
    // The operation that brought it here may still bring it on (a restart); its end changes no state and tells nobody.
    if (resting && instance.held !== undefined) void instance.held.ended.then(() => setImmediate(look));
    if (state === 'Error' || (resting && instance.held === undefined))
      fail('invalid_state', `${name} is ${state} and will not become ${status}`);
  };
  const late = () => {
    const found = instance.health;
    const why = found?.lastError === undefined ? '' : ` (${found.lastError})`;
    fail(
      'timeout',
      `${name} is ${found?.status ?? 'unknown'}${why}, not ${status}, after ${timeoutMs / 1000} s`,
    );
  };
  const timer = timeoutMs > longestTimerMs ? undefined : setTimeout(late, timeoutMs);
  const abort = () => fail('cancelled', 'The wait was cancelled.');
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  const off = [instance.onHealth(look), instance.onChange(look)];
  look();
  return promise.finally(() => {
    clearTimeout(timer);
    for (const stop of off) stop();
    signal?.removeEventListener('abort', abort);
  });
}
