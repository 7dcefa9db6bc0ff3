import { VivError } from '@vivarium/model';
import type { Operation } from '../operations/operation.ts';
import type { Instance } from './instance.ts';

/** Milliseconds the agent has to freeze its workloads, and to say that it has heard everything. */
const answerMs = 5000;

/** A guest in which nothing of the user's runs, and to which nothing is on its way. */
export interface Standstill {
  /** False: the guest could not be asked, and what ran in it runs on in a copy before that knows who it is. */
  frozen: boolean;
  /** Sends again what was held back. Idempotent. */
  speak(): void;
  /** That, and lets the workloads run. Idempotent. */
  release(): Promise<void>;
}

/**
 * Before a save: whatever is restored from it stands still until it has been told who it is. A paused guest stands still already,
 * and stays so. The undo lets it run again.
 *
 * @throws VivError `identity_unsafe` where the agent does not answer, unless `unsafe`.
 */
export async function standStill(
  instance: Instance,
  operation: Operation,
  { unsafe = false }: { unsafe?: boolean } = {},
): Promise<Standstill> {
  operation.step('freeze the workloads');
  if (instance.state === 'Paused') {
    const frozen = instance.record.frozen === true;
    if (!frozen && !unsafe) throw unsafeIdentity(instance);
    return { frozen, speak: () => undefined, release: async () => undefined };
  }
  const { guest } = instance;
  const still: Standstill = { frozen: false, speak: () => undefined, release: async () => undefined };
  try {
    if (guest === undefined) throw new VivError('agent_unreachable', 'nobody speaks to its agent');
    operation.undo('let the workloads run', () => still.release());
    still.release = once(() => guest.thaw(AbortSignal.timeout(answerMs)));
    await guest.freeze(within(operation.signal));
    still.frozen = true;
    const speak = await guest.quiesce(within(operation.signal));
    let silent = true;
    still.speak = () => {
      if (silent) speak();
      silent = false;
    };
    still.release = once(() => {
      still.speak();
      return guest.thaw(AbortSignal.timeout(answerMs));
    });
  } catch (cause) {
    operation.signal.throwIfAborted();
    if (!unsafe) throw unsafeIdentity(instance, cause);
    instance.emit('warning', { message: `Not frozen: ${VivError.from(cause).message}` });
  }
  return still;
}

const within = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}

function unsafeIdentity(instance: Instance, cause?: unknown): VivError {
  const why = cause === undefined ? 'it was paused without its agent' : VivError.from(cause).message;
  return new VivError('identity_unsafe', `${instance.record.name} can't be told that it is a copy: ${why}`, {
    hint: 'Copy it all the same with --unsafe-identity, or stop it first.',
    cause,
  });
}
