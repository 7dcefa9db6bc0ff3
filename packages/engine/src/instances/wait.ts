import { mayHaveVmm, type State } from '@vivarium/lifecycle';
import { VivError } from '@vivarium/model';
import type { Instance } from './instance.ts';
import { longestTimerMs } from './times.ts';

/** Milliseconds. */
const defaultTimeout = 60_000;

/**
 * Resolves as soon as the instance is in one of the states.
 *
 * @throws VivError `invalid_state` when it has come to rest in a state that none of them follows by itself, `timeout`,
 * `cancelled`, and `not_found` when it is deleted while `Deleted` isn't asked for.
 */
export function waitForInstance(
  instance: Instance,
  states: readonly State[],
  { timeoutMs = defaultTimeout, signal }: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const wanted = states.join(' or ');
  const began = mayHaveVmm(instance.state);
  let moved = began || instance.held !== undefined;
  const look = () => {
    const { state } = instance;
    moved ||= mayHaveVmm(state);
    if (states.includes(state)) return resolve();
    if (state === 'Deleted') {
      return reject(
        new VivError(
          'not_found',
          `${instance.record.name} was deleted while it was waited for to be ${wanted}`,
        ),
      );
    }
    // What has ended does not begin again by itself. One that nobody has started yet may still be started.
    const restarts = instance.record.restart?.nextAttemptAt !== undefined;
    const resting = state === 'Stopped' && moved && !restarts && !states.includes('Deleted');
    // The operation that brought it here may still bring it on (a restart); its end changes no state and tells nobody.
    if (resting && instance.held !== undefined) void instance.held.ended.then(() => setImmediate(look));
    const ended = state === 'Error' || (resting && instance.held === undefined);
    if (ended) {
      const why = instance.stateError?.message ?? instance.record.exit?.message;
      reject(
        new VivError(
          'invalid_state',
          `${instance.record.name} is ${state}${why ? ` (${why})` : ''} and will not become ${wanted}`,
          {
            details: { state },
          },
        ),
      );
    }
  };
  // Whoever waits for longer than a timer can run waits until it happens.
  const late = () =>
    reject(
      new VivError(
        'timeout',
        `${instance.record.name} is ${instance.state}, not ${wanted}, after ${timeoutMs / 1000} s`,
      ),
    );
  const timer = timeoutMs > longestTimerMs ? undefined : setTimeout(late, timeoutMs);
  const abort = () => reject(new VivError('cancelled', 'The wait was cancelled.', { cause: signal?.reason }));
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  const off = instance.onChange(look);
  look();
  return promise.finally(() => {
    clearTimeout(timer);
    off();
    signal?.removeEventListener('abort', abort);
  });
}
